"""The one place that runs git."""

import subprocess
from pathlib import Path

from .files import reading


def git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails or git is not installed."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def read_at(revision: str | None, path: Path) -> str | None:
    """Return a file's text, or None if it does not exist.

    Args:
        revision: the git revision to read it from; None is the working tree.

    Raises:
        BrokenFileError: it is not in UTF-8.
    """
    with reading(path):
        if revision is None:
            return path.read_text(encoding="utf-8") if path.exists() else None
        # "./" makes the path relative to the current folder and not to the repository's root.
        return git("show", f"{revision}:./{path.as_posix()}")
