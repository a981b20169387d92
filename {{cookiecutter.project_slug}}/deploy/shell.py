"""Commands of other programs, and errors that are one sentence."""

import shutil
import subprocess
import sys
from collections.abc import Sequence


class DeployError(Exception):
    """Something a person has to put right; the message says what."""


def run(*command: str, stdin: str = "", show: bool = False) -> str:
    """Run a command and give what it prints.

    show: also let its messages through to the terminal, for commands that take long.

    Raises:
        DeployError: it failed; with the end of what it said.
    """
    result = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
    )
    if result.returncode != 0:
        said = "\n".join(f"{result.stdout}\n{result.stderr or ''}".strip().splitlines()[-15:])
        raise DeployError(f"`{' '.join(command)}` ended with {result.returncode}: {said}")
    return result.stdout.strip()


def need(program: str, how_to_install: str, test: Sequence[str] = ()) -> None:
    """See that a program is there, and that the command `test` of it succeeds.

    Raises:
        DeployError: what to install or to start.
    """
    if shutil.which(program) is None:
        raise DeployError(f"{program} was not found: install {how_to_install}.")
    if test and subprocess.run(test, capture_output=True).returncode != 0:
        raise DeployError(f"{program} is installed, but `{' '.join(test)}` fails: start it first.")


def say(message: str) -> None:
    """Tell how far things are; standard output is for results."""
    print(message, file=sys.stderr, flush=True)
