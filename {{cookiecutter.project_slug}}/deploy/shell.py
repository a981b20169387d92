"""Commands of other programs, and errors that are one sentence."""

import subprocess
from pathlib import Path

HOW_TO_INSTALL = {
    "docker": "Docker Engine, https://docs.docker.com/engine/install",
    "git": "git, https://git-scm.com",
    "kubectl": "kubectl, https://kubernetes.io/docs/tasks/tools",
    "ssh": "OpenSSH's client, https://www.openssh.com",
}


class DeployError(Exception):
    """Something a person has to fix; the message says what."""


def run(*command: str, stdin: str = "", stderr: int | None = subprocess.PIPE) -> str:
    """Run a command and return what it prints.

    Args:
        stderr: None lets messages through to the terminal, for commands that take long;
            `subprocess.STDOUT` returns them too.

    Raises:
        DeployError: it is not installed, or it failed; with the end of what it printed.
    """
    try:
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8"
        )
    except FileNotFoundError:
        program = command[0]
        raise DeployError(f"{program} not found: install {HOW_TO_INSTALL[program]}.") from None
    if done.returncode != 0:
        output = f"{done.stdout}\n{done.stderr or ''}".strip().splitlines()[-15:]
        reason = "\n".join(output)
        raise DeployError(f"`{' '.join(command)}` ended with {done.returncode}: {reason}")
    return done.stdout.strip()


def write_private(path: Path, text: str) -> Path:
    """Write a file that only this user can read."""
    path.touch(mode=0o600)
    path.write_text(text.strip() + "\n", encoding="utf-8")
    return path
