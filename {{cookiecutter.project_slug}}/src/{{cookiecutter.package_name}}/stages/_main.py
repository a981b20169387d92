"""How every stage starts: a user's mistake ends it with one sentence, not with a traceback."""

import sys
from collections.abc import Callable

from ..errors import UserError


def run(main: Callable[[], None]) -> None:
    """Call a stage's `main`; a `UserError` goes to stderr as it reads, and the exit code is 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
