"""Bring what CI trained back to the repository: as a patch, and from that a pull request."""

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .github import TokenError, call
from .messages import notice

PATCH = Path("build/results.patch")
# What the pipeline writes and git keeps. Nothing else comes back.
PATHS = ("README.md", "docs", "dvc.lock", "metrics", "params.yaml", "reports")
BOT = {
    "NAME": "github-actions[bot]",
    "EMAIL": "41898282+github-actions[bot]@users.noreply.github.com",
}
TITLE = "Update the pipeline's results"
BODY = """The pipeline's newest results: `dvc.lock`, metrics, cards and the README's table.

A workflow made this pull request, so GitHub starts no further workflow for it. Close and reopen \
it where a check is required before merging."""


def pack() -> None:
    """Write the difference to the commit that is checked out into build/results.patch."""
    present = [path for path in PATHS if Path(path).exists()]
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}  # leaves what a person staged
        git("read-tree", "HEAD", env=index)
        git("add", "--", *present, env=index)
        difference = git("diff", "--cached", "--binary", "HEAD", env=index)
    PATCH.parent.mkdir(exist_ok=True)
    PATCH.write_bytes(difference)
    print(f"{PATCH}: {len(difference):,} bytes" if difference else "No result is new.")


def propose() -> None:
    """Push the patch as a branch and open a pull request from it.

    The branch of a push or a scheduled run is always the same one, so that there is one pull
    request, updated; a run by hand gets its own.
    """
    if not (PATCH.exists() and PATCH.stat().st_size):
        print("No result is new: nothing to propose.")
        return
    by_hand = os.environ.get("GITHUB_EVENT_NAME") == "workflow_dispatch"
    branch = f"results/run-{os.environ['GITHUB_RUN_ID']}" if by_hand else "results/newest"
    git("status")  # brings the index up to date where files were copied here, as act does
    git("apply", "--index", "--binary", str(PATCH))
    git("commit", "--quiet", "--message", TITLE)
    try:
        git("push", "--force", "origin", f"HEAD:refs/heads/{branch}")
    except subprocess.CalledProcessError:
        notice(f"The branch {branch} could not be pushed. {_where_it_is()}")
        return
    print(f"Branch {branch} pushed")
    try:
        open_pull_request(branch)
    except TokenError as reason:
        notice(f"No pull request was opened: {reason}. The branch is {branch}. {_where_it_is()}")


def open_pull_request(branch: str) -> None:
    """Open a pull request to the branch of this run, unless one is open already.

    Raises:
        TokenError: the token, or the repository's settings, do not let workflows do this.
    """
    base = os.environ["GITHUB_REF_NAME"]
    owner = os.environ["GITHUB_REPOSITORY"].partition("/")[0]
    if not call("GET", f"pulls?state=open&head={owner}:{branch}&base={base}"):
        call("POST", "pulls", {"title": TITLE, "head": branch, "base": base, "body": BODY})
    print(f"A pull request from {branch} to {base} is open")


def git(*arguments: str, env: Mapping[str, str] | None = None) -> bytes:
    """Run git as GitHub's bot, with the workflow's token for its server; give its output."""
    environment = _environment() | dict(env or {})
    command = ["git", *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout


def _environment() -> dict[str, str]:
    roles = ("AUTHOR", "COMMITTER")
    environment = {f"GIT_{role}_{key}": value for role in roles for key, value in BOT.items()}
    if token := os.environ.get("GITHUB_TOKEN"):
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        login = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {login}",
        }
    return os.environ | environment


def _where_it_is() -> str:
    return f"{PATCH} in the run's artifacts holds the change: `git apply --index` takes it."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["pack", "propose"])
    try:
        pack() if parser.parse_args().action == "pack" else propose()
    except subprocess.CalledProcessError as failure:
        sys.exit(f"error: {' '.join(failure.cmd)} ended with {failure.returncode}")
