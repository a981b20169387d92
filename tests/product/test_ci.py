"""What CI does on pull requests, by the real gh, which talks to a stand-in for GitHub's API."""

import base64
import http.server
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .github import GitHub, stand_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def github() -> Iterator[GitHub]:
    with stand_in() as found:
        yield found


def run(
    folder: Path, github: GitHub, *command: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a job of GitHub's does, with a gh that finds the stand-in."""
    config = github.socket.parent
    (config / "config.yml").write_text(f"http_unix_socket: {github.socket}\n", encoding="utf-8")
    defaults = {
        "GH_CONFIG_DIR": str(config),
        "GH_TOKEN": "secret",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF_NAME": "main",
        "GITHUB_REPOSITORY": "ana/project",
        "GITHUB_RUN_ID": "7",
        "PULL_REQUEST": "1",
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | defaults | variables,
        capture_output=True,
        encoding="utf-8",
    )


def comment(folder: Path, github: GitHub, report: str, **variables: str) -> str:
    (folder / "build").mkdir(exist_ok=True)
    (folder / "build/report.md").write_text(report, encoding="utf-8")
    done = run(folder, github, "bash", ROOT / "ci/comment.sh", **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pull_request_has_one_comment_which_later_runs_update(
    github: GitHub, tmp_path: Path
) -> None:
    for _ in range(150):
        github.comment("a person's", by_bot=False)
    comment(tmp_path, github, "first")
    github.comment("a person's", by_bot=False)
    comment(tmp_path, github, "second")
    ours = [found["body"] for found in github.comments if found["viewerDidAuthor"]]
    assert ours == ["second\n"]
    assert len(github.comments) == 152


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_comment_is_a_notice_and_no_failure(
    status: int, github: GitHub, tmp_path: Path
) -> None:
    github.refuses = status
    assert "::notice::No comment on the pull request" in comment(tmp_path, github, "report")
    assert github.comments == []


def test_without_a_token_there_is_a_notice_and_no_failure(github: GitHub, tmp_path: Path) -> None:
    assert "::notice::No comment" in comment(tmp_path, github, "report", GH_TOKEN="")


def test_a_report_that_is_too_long_for_a_comment_is_cut(github: GitHub, tmp_path: Path) -> None:
    comment(tmp_path, github, "ä" * 100_000)
    body = github.comments[0]["body"]
    assert 65_000 < len(body) < 65_536
    assert body.endswith("The rest is in the run's summary.\n")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, encoding="utf-8"
    ).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone whose origin has `main`, and in which the pipeline has new results."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dvc.lock").write_text("old\n", encoding="utf-8")
    (folder / ".gitignore").write_text("/build\n", encoding="utf-8")
    git(folder, "init", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--message", "start")
    git(tmp_path, "clone", "--bare", "project", "origin.git")
    git(folder, "remote", "add", "origin", str(tmp_path / "origin.git"))
    (folder / "dvc.lock").write_text("new\n", encoding="utf-8")
    (folder / "reports").mkdir()
    (folder / "reports/summary.png").write_bytes(bytes(range(256)))
    (folder / "notes.txt").write_text("not a result\n", encoding="utf-8")
    return folder


def pack(repository: Path, github: GitHub) -> None:
    done = run(repository, github, "make", "--file", ROOT / "Makefile", "pack-results")
    assert done.returncode == 0, done.stderr


def pack_and_forget(repository: Path, github: GitHub) -> None:
    """Write the patch, and go back to the commit, as in the job that opens the pull request."""
    pack(repository, github)
    git(repository, "checkout", "--", ".")
    (repository / "reports/summary.png").unlink()


def open_pr(repository: Path, github: GitHub, returncode: int = 0, **variables: str) -> str:
    results = re.search(r"^RESULTS = (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert results
    variables |= {"RESULTS": results[1]}  # as `make open-pr` sets it
    done = run(repository, github, "bash", ROOT / "ci/open_pr.sh", **variables)
    assert done.returncode == returncode, done.stderr
    return done.stdout


def test_new_results_and_nothing_else_come_back_as_one_pull_request(
    repository: Path, github: GitHub
) -> None:
    git(repository, "add", "notes.txt")
    pack_and_forget(repository, github)
    assert git(repository, "status", "--porcelain") == "A  notes.txt\n"  # still staged
    git(repository, "rm", "--quiet", "--force", "notes.txt")
    open_pr(repository, github)
    changed = git(repository, "diff", "--name-only", "main~1", "origin/results/newest")
    assert changed.split() == ["dvc.lock", "reports/summary.png"]
    author = git(repository, "log", "-1", "--format=%an %ae", "origin/results/newest")
    assert author.startswith("github-actions[bot] ")
    assert author.endswith("+github-actions[bot]@users.noreply.github.com\n")
    assert [(pull["headRefName"], pull["baseRefName"]) for pull in github.pulls] == [
        ("results/newest", "main")
    ]
    main = git(repository, "ls-remote", "origin", "main").split()[0]
    assert main == git(repository, "rev-parse", "main~1").strip()
    git(repository, "reset", "--hard", "main~1")
    open_pr(repository, github)
    assert len(github.pulls) == 1


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", "ci/open_pr.sh", "docs/deploy.md"])
def test_a_patch_that_changes_more_than_results_is_refused(
    path: str, repository: Path, github: GitHub
) -> None:
    (repository / path).parent.mkdir(parents=True, exist_ok=True)
    (repository / path).write_text("run: curl example.com | sh\n", encoding="utf-8")
    git(repository, "add", path, "dvc.lock")
    (repository / "build").mkdir()
    patch = git(repository, "diff", "--cached", "--binary")
    (repository / "build/results.patch").write_text(patch, encoding="utf-8")
    git(repository, "reset", "--hard")
    output = open_pr(repository, github, returncode=1)
    assert f"::error::The patch changes what is no result, so nothing is pushed: {path}" in output
    assert "results/newest" not in git(repository, "ls-remote", "origin")
    assert not (repository / path).exists()
    assert github.pulls == []


def test_a_run_by_hand_has_a_branch_of_its_own(repository: Path, github: GitHub) -> None:
    pack_and_forget(repository, github)
    open_pr(repository, github, GITHUB_EVENT_NAME="workflow_dispatch")
    assert [pull["headRefName"] for pull in github.pulls] == ["results/run-7"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_open_pull_requests_leaves_branch_and_patch(
    status: int, repository: Path, github: GitHub
) -> None:
    github.refuses = status
    pack_and_forget(repository, github)
    output = open_pr(repository, github)
    assert "::notice::No pull request was opened" in output
    assert "The branch is results/newest. build/results.patch" in output
    assert "results/newest" in git(repository, "ls-remote", "origin")
    assert github.pulls == []


def test_an_origin_that_takes_no_branch_leaves_the_patch(
    repository: Path, github: GitHub, tmp_path: Path
) -> None:
    pack_and_forget(repository, github)
    (tmp_path / "origin.git").rename(tmp_path / "elsewhere.git")
    output = open_pr(repository, github)
    assert "::notice::The branch results/newest could not be pushed." in output
    assert "build/results.patch" in output


def test_git_pushes_with_the_workflows_token(
    repository: Path, github: GitHub, tmp_path: Path
) -> None:
    given: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given.append(self.headers["Authorization"])
            self.send_response(403 if given[-1] else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="GitHub"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "1")
    files = ("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1")
    subprocess.run([*new, *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_port}/ana/project.git"
        git(repository, "remote", "set-url", "origin", url)
        pack_and_forget(repository, github)
        # gh takes this variable's token for other hosts than github.com.
        variables: Any = {"GH_ENTERPRISE_TOKEN": "secret", "GIT_SSL_NO_VERIFY": "true"}
        output = open_pr(repository, github, **variables)
        server.shutdown()
    login = base64.b64encode(b"x-access-token:secret").decode()
    assert given == [None, f"Basic {login}"]
    assert "could not be pushed" in output


def test_without_new_results_no_pull_request_is_opened(repository: Path, github: GitHub) -> None:
    git(repository, "checkout", "--", ".")
    (repository / "reports/summary.png").unlink()
    pack(repository, github)
    assert "No result is new" in open_pr(repository, github)
    assert github.pulls == []


def open_issue(folder: Path, github: GitHub, report: str, drift: str, **variables: str) -> str:
    (folder / "build/drift").mkdir(parents=True, exist_ok=True)
    (folder / "build/drift/report.md").write_text(report, encoding="utf-8")
    done = run(folder, github, "bash", ROOT / "ci/open_issue.sh", DRIFT=drift, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_drift_opens_one_issue_which_later_runs_update(github: GitHub, tmp_path: Path) -> None:
    open_issue(tmp_path, github, "no drift yet", "none")
    assert github.issues == []
    github.issue("The service's images have drifted", "a person's", by_bot=False)
    github.issue("Another issue", "a bot's", by_bot=True)
    for report, drift in (("first", "found"), ("second", "found"), ("it is over", "none")):
        open_issue(tmp_path, github, report, drift)
        [title, body] = [(issue["title"], issue["body"]) for issue in github.issues][-1]
        assert title == "The service's images have drifted"
        assert body.startswith(f"{report}\n")
        assert "https://github.com/ana/project/actions/runs/7" in body
    assert len(github.issues) == 3
    assert [issue["body"] for issue in github.issues[:2]] == ["a person's", "a bot's"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_open_an_issue_is_a_notice_and_no_failure(
    status: int, github: GitHub, tmp_path: Path
) -> None:
    github.refuses = status
    assert "::notice::No issue was written" in open_issue(tmp_path, github, "report", "found")
    assert github.issues == []


def test_without_a_token_no_issue_is_written(github: GitHub, tmp_path: Path) -> None:
    output = open_issue(tmp_path, github, "report", "found", GH_TOKEN="")
    assert "::notice::No issue was written" in output
