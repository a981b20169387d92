"""What CI says and sends: to a server that answers as GitHub's API does, and to a bare origin."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class GitHub:
    """One repository's comments and pull requests; `status` is how it answers who writes."""

    url: str
    status: int = 200
    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def github() -> Iterator[GitHub]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/pulls" in self.path:
                self.answer(200, state.pulls)
            else:
                page = int(re.search(r"[?&]page=(\d+)", self.path)[1])  # type: ignore[index]
                self.answer(200, state.comments[100 * (page - 1) : 100 * page])

        def do_POST(self) -> None:
            user = {"login": "github-actions[bot]", "type": "Bot"}
            entry = {"id": len(state.comments), "user": user, **self.body()}
            kept = state.pulls if self.path.endswith("/pulls") else state.comments
            self.write(lambda: kept.append(entry))

        def do_PATCH(self) -> None:
            comment = state.comments[int(self.path.rpartition("/")[2])]
            body = self.body()
            self.write(lambda: comment.update(body))

        def body(self) -> dict[str, Any]:
            content: dict[str, Any] = json.loads(
                self.rfile.read(int(self.headers["Content-Length"]))
            )
            return content

        def write(self, change: Any) -> None:
            assert self.path.startswith("/repos/ana/project/")
            assert self.headers["Authorization"] == "Bearer secret"
            if state.status == 200:
                change()
            self.answer(state.status, {})

        def answer(self, status: int, content: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state = GitHub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def run(
    folder: Path, module: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    defaults = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF_NAME": "main",
        "GITHUB_REPOSITORY": "ana/project",
        "GITHUB_RUN_ID": "7",
        "GITHUB_TOKEN": "secret",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | defaults | variables,
        capture_output=True,
        encoding="utf-8",
    )


def comment(folder: Path, github: GitHub, report: str, **variables: str) -> str:
    (folder / "build").mkdir(exist_ok=True)
    (folder / "build/report.md").write_text(report, encoding="utf-8")
    event = folder / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 1}}), encoding="utf-8")
    variables = {"GITHUB_API_URL": github.url, "GITHUB_EVENT_PATH": str(event)} | variables
    done = run(folder, "ci.comment", **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pull_request_has_one_comment_which_later_runs_update(
    github: GitHub, tmp_path: Path
) -> None:
    person = {"login": "ana", "type": "User"}
    body = "<!-- model report --> as a person might quote it"
    github.comments += [{"id": i, "user": person, "body": body} for i in range(150)]
    comment(tmp_path, github, "first")
    comment(tmp_path, github, "second")
    ours = [found["body"] for found in github.comments if found["user"]["type"] == "Bot"]
    assert ours == ["<!-- model report -->\nsecond"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_comment_is_a_notice_and_no_failure(
    status: int, github: GitHub, tmp_path: Path
) -> None:
    github.status = status
    output = comment(tmp_path, github, "report")
    assert output.startswith("::notice::No comment on the pull request: the token may not do this")


def test_without_a_token_there_is_a_notice_and_no_failure(github: GitHub, tmp_path: Path) -> None:
    assert "::notice::" in comment(tmp_path, github, "report", GITHUB_TOKEN="")


def test_a_report_that_is_too_long_for_a_comment_is_cut(github: GitHub, tmp_path: Path) -> None:
    comment(tmp_path, github, "a" * 100_000)
    assert len(github.comments[0]["body"]) < 65_536
    assert github.comments[0]["body"].endswith("The rest is in the run's summary.")


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


def pack_and_forget(repository: Path) -> None:
    """Write the patch, and go back to the commit, as the job does that proposes it."""
    assert run(repository, "ci.results", "pack").returncode == 0
    git(repository, "checkout", "--", ".")
    (repository / "reports/summary.png").unlink()


def propose(repository: Path, github: GitHub, **variables: str) -> str:
    done = run(repository, "ci.results", "propose", GITHUB_API_URL=github.url, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_new_results_and_nothing_else_come_back_as_one_pull_request(
    repository: Path, github: GitHub
) -> None:
    git(repository, "add", "notes.txt")
    pack_and_forget(repository)
    assert git(repository, "status", "--porcelain") == "A  notes.txt\n"  # still staged
    git(repository, "rm", "--quiet", "--force", "notes.txt")
    propose(repository, github)
    changed = git(repository, "diff", "--name-only", "main~1", "origin/results/newest")
    assert changed.split() == ["dvc.lock", "reports/summary.png"]
    assert [pull["head"] for pull in github.pulls] == ["results/newest"]
    main = git(repository, "ls-remote", "origin", "main").split()[0]
    assert main == git(repository, "rev-parse", "main~1").strip()
    git(repository, "reset", "--hard", "main~1")
    propose(repository, github)
    assert len(github.pulls) == 1


def test_a_run_by_hand_has_a_branch_of_its_own(repository: Path, github: GitHub) -> None:
    pack_and_forget(repository)
    propose(repository, github, GITHUB_EVENT_NAME="workflow_dispatch")
    assert [pull["head"] for pull in github.pulls] == ["results/run-7"]


def test_a_token_that_may_not_open_pull_requests_leaves_branch_and_patch(
    repository: Path, github: GitHub
) -> None:
    github.status = 403
    pack_and_forget(repository)
    output = propose(repository, github)
    assert "::notice::No pull request was opened: the token may not do this." in output
    assert "results/newest" in git(repository, "ls-remote", "origin")


def test_an_origin_that_takes_no_branch_leaves_the_patch(
    repository: Path, github: GitHub, tmp_path: Path
) -> None:
    pack_and_forget(repository)
    (tmp_path / "origin.git").rename(tmp_path / "elsewhere.git")
    output = propose(repository, github)
    assert "::notice::The branch results/newest could not be pushed." in output
    assert "build/results.patch" in output


def test_without_new_results_nothing_is_proposed(repository: Path, github: GitHub) -> None:
    git(repository, "checkout", "--", ".")
    (repository / "reports/summary.png").unlink()
    assert "No result is new" in run(repository, "ci.results", "pack").stdout
    assert "nothing to propose" in propose(repository, github)
    assert github.pulls == []
