"""The one way to ask git something."""

import subprocess
from pathlib import Path


def git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def read_at(revision: str, path: Path) -> str | None:
    """Return a file's text as of a git revision, or None if it is not there."""
    return git("show", f"{revision}:./{path.as_posix()}")
