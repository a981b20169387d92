"""Lines that GitHub shows on top of a run; elsewhere they are plain text."""

import os


def notice(text: str) -> None:
    """Say something that is no failure."""
    _say("notice", text)


def error(text: str) -> None:
    """Say what failed, and what would put it right."""
    _say("error", text)


def _say(level: str, text: str) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # https://docs.github.com/actions/reference/workflow-commands-for-github-actions
        escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::{level}::{escaped}", flush=True)
    else:
        print(f"{level}: {text}", flush=True)
