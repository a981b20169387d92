"""How every command starts: a user's mistake ends it with one sentence instead of a traceback."""

import sys
from collections.abc import Callable

from ..errors import UserError


def run_main(main: Callable[[], None]) -> None:
    """Call `main`; print the message of a `UserError` to stderr and exit with code 2.

    Code 1 is left to verdicts: the gate's, and that there is drift.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
