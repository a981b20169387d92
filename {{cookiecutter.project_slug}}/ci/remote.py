"""Move data and models between this machine and DVC's remote, where CI can reach it.

For CI, whose keys are in variables; a person with keys of their own uses `dvc pull` and `dvc push`.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.cli import main as dvc

# The variables that each kind of remote needs; a workflow fills them from secrets.
VARIABLES = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": ("GOOGLE_CREDENTIALS",),
    "azure": ("AZURE_STORAGE_CONNECTION_STRING",),
    "ssh": ("DVC_SSH_KEY", "DVC_SSH_KNOWN_HOSTS"),
}
# Where the variable holds a key that DVC reads from a file: DVC's setting for that file.
KEY_FILES = {"gs": "credentialpath", "ssh": "keyfile"}
COMMANDS = {"pull": ("pull", "--allow-missing"), "push": ("push",)}


def main() -> int:
    """Pull or push; the exit code is DVC's, or 0 where the remote is not used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command: str = parser.parse_args().command
    if not Path("dvc.lock").exists():
        print(f"No dvc.lock yet: there is nothing to {command}.")
        return 0
    name = _dvc("config", "core.remote")
    url = _dvc("config", f"remote.{name}.url") if name else ""
    if reason := why_unusable(url):
        annotate("notice", f"DVC's remote is not used: {reason}")
        # What the workflow's own cache holds is put in its place, so that no stage has to make it.
        checkout = ["dvc", "checkout", "--allow-missing"]
        return subprocess.run(checkout).returncode if command == "pull" else 0
    kind = url.partition("://")[0]
    for variable in [key for key, value in os.environ.items() if not value]:
        del os.environ[variable]  # libraries take an empty secret for a wrong key
    with key_file(kind, name):
        if kind == "ssh":
            check_host_key(os.environ["DVC_SSH_KNOWN_HOSTS"])
        exit_code: int = dvc([*COMMANDS[command], "--remote", name])
    if exit_code != 0:
        secrets = " and ".join(VARIABLES.get(kind, ()))
        advice = f", and that the secrets {secrets} are right and may use it" if secrets else ""
        annotate(
            "error",
            f"DVC's remote `{name}` ({url}) cannot be used: see above. Check its address "
            f"(`dvc remote modify {name} url …`){advice}. Nothing is lost: what was trained is in "
            "this run's cache and artifacts.",
        )
    return exit_code


def why_unusable(url: str) -> str:
    """Why CI goes on without the remote, in a sentence; empty where it can be used."""
    if not url:
        return "none is configured."
    kind, separator, _ = url.partition("://")
    if not separator:
        # Relative to .dvc, where the address is written.
        return "" if Path(".dvc", url).exists() else f"this machine has no folder {url}."
    if unset := [name for name in VARIABLES.get(kind, ()) if not os.environ.get(name)]:
        return f"{url} needs {' and '.join(unset)}. Set a secret of that name to use it."
    return ""


@contextmanager
def key_file(kind: str, remote: str) -> Iterator[None]:
    """Where DVC wants the key as a file, there is one, which only this user can read."""
    setting = KEY_FILES.get(kind)
    if setting is None:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        path.touch(mode=0o600)
        path.write_text(os.environ[VARIABLES[kind][0]].strip() + "\n", encoding="utf-8")
        _dvc("remote", "modify", "--local", remote, setting, str(path))
        try:
            yield
        finally:
            _dvc("remote", "modify", "--local", "--unset", remote, setting)


def check_host_key(known_hosts: str) -> None:
    """Let DVC connect only to a host whose key is in `known_hosts`, lines as `ssh-keyscan` prints.

    DVC's ssh remote trusts every host and has no setting for it, so this hands the lines to the
    library below it: https://asyncssh.readthedocs.io/en/latest/api.html#known-hosts
    """
    import dvc_ssh.spec

    connect = functools.partial(dvc_ssh.spec.SSHFileSystem, known_hosts=known_hosts.encode())
    dvc_ssh.spec.SSHFileSystem = connect


def annotate(level: str, text: str) -> None:
    """Print a line that GitHub shows on top of a run; elsewhere it is plain text."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # https://docs.github.com/actions/reference/workflow-commands-for-github-actions
        print(f"::{level}::{text.replace('%', '%25')}", flush=True)
    else:
        print(f"{level}: {text}", flush=True)


def _dvc(*arguments: str) -> str:
    """Output of a DVC command; empty where it fails, as for a setting that is not there."""
    done = subprocess.run(["dvc", *arguments], capture_output=True, encoding="utf-8")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
