"""Move data and models between this machine and DVC's remote, where CI can reach it.

For CI, whose keys are in variables; a person with keys of their own uses `dvc pull` and `dvc push`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .messages import error, notice

# The variables that each kind of remote needs; a workflow fills them from secrets.
VARIABLES = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": ("GOOGLE_CREDENTIALS",),
    "azure": ("AZURE_STORAGE_CONNECTION_STRING",),
    "ssh": ("DVC_SSH_KEY",),
}
COMMANDS = {"restore": ("pull", "--allow-missing"), "store": ("push",)}


def main() -> int:
    """Pull or push; the exit code is DVC's, or 0 where the remote is not used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=COMMANDS)
    action: str = parser.parse_args().action
    if not Path("dvc.lock").exists():
        print(f"No dvc.lock yet: there is nothing to {action}.")
        return 0
    name, url = remote()
    if reason := unusable(url):
        notice(f"DVC's remote is not used: {reason}")
        return checkout() if action == "restore" else 0
    kind = url.partition("://")[0]
    with credentials(kind, name) as environment:
        done = subprocess.run(["dvc", *COMMANDS[action], "--remote", name], env=environment)
    if done.returncode != 0:
        variables = " and ".join(VARIABLES.get(kind, ()))
        advice = f", and that the secrets {variables} are right and may use it" if variables else ""
        error(
            f"DVC's remote `{name}` ({url}) cannot be used: see above. Check its address "
            f"(`dvc remote modify {name} url …`){advice}. Nothing is lost: what was trained is in "
            "this run's cache and artifacts."
        )
    return done.returncode


def checkout() -> int:
    """Put what the workflow's own cache holds in its place, so that no stage has to make it."""
    return subprocess.run(["dvc", "checkout", "--allow-missing"]).returncode


def remote() -> tuple[str, str]:
    """Name and address of the default remote; both empty where none is configured."""
    name = _dvc("config", "core.remote")
    return name, _dvc("config", f"remote.{name}.url") if name else ""


def unusable(url: str) -> str:
    """Why CI goes on without the remote, in a sentence; empty where it can be used."""
    if not url:
        return "none is configured."
    kind, separator, _ = url.partition("://")
    if not separator:
        # Relative to .dvc, where the address is written.
        return "" if Path(".dvc", url).exists() else f"this machine has no folder {url}."
    unset = [variable for variable in VARIABLES.get(kind, ()) if not os.environ.get(variable)]
    if unset:
        return f"{url} needs {' and '.join(unset)}. Set a secret of that name to use it."
    return ""


@contextmanager
def credentials(kind: str, name: str) -> Iterator[dict[str, str]]:
    """The environment for DVC; keys that have to be files are, for as long as it runs."""
    # An empty secret is an empty variable, which libraries would take for a wrong key.
    environment = {key: value for key, value in os.environ.items() if value}
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder, "key")
        if kind == "gs":
            _write_private(key, environment["GOOGLE_CREDENTIALS"])
            environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
        if kind != "ssh":
            yield environment
            return
        _write_private(key, environment["DVC_SSH_KEY"])
        _dvc("remote", "modify", "--local", name, "keyfile", str(key))
        try:
            yield environment
        finally:
            _dvc("remote", "modify", "--local", "--unset", name, "keyfile")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text.strip() + "\n", encoding="utf-8")


def _dvc(*arguments: str) -> str:
    """Output of a DVC command; empty where it fails, as for a setting that is not there."""
    done = subprocess.run(["dvc", *arguments], capture_output=True, encoding="utf-8")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
