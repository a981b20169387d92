"""How every command starts: a user's mistake ends it with one sentence instead of a traceback."""

import gc
import sys
import traceback
from collections.abc import Callable

from ..errors import UserError


def run_main(main: Callable[[], None]) -> None:
    """Call `main`; end with code 2 after an error, with one sentence where its kind is known.

    Code 1 is left to verdicts: the gate's, and that there is drift.
    """
    try:
        main()
    except Exception as error:
        message = _sentence(error)
        if message is None:
            traceback.print_exc()
        else:
            print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    finally:
        gc.freeze()  # or Python would look for garbage in all of PyTorch before it ends


def _sentence(error: Exception) -> str | None:
    """What is wrong, or None if only a traceback tells."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    # Not imported here: that takes time which not every command has to spend.
    pydantic, sqlalchemy = map(sys.modules.get, ("pydantic_core", "sqlalchemy.exc"))
    if pydantic and isinstance(error, pydantic.ValidationError):
        problems = (f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        return f"{error.title}: {'; '.join(problems)}"
    if sqlalchemy and isinstance(error, sqlalchemy.SQLAlchemyError):
        return f"the database cannot be used: {str(error).splitlines()[0]}"
    return None
