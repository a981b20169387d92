"""How every command starts: a user's mistake ends it with one sentence instead of a traceback."""

import sys
from collections.abc import Callable

from ..errors import UserError


def run_main(main: Callable[[], None]) -> None:
    """Call `main`; print the message of a `UserError` to stderr and exit with code 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
