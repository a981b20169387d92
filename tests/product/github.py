"""A stand-in for GitHub's API, which the real gh talks to."""

import http.server
import json
import re
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKFLOWS, WORKFLOW = "/repos/ana/project/actions/workflows", "train.yml"
PAGE_SIZE = 100
FORBIDDEN = {"type": "FORBIDDEN", "message": "Resource not accessible by integration"}


@dataclass
class GitHub:
    """A stand-in for GitHub, with one repository's comments, pull requests and issues.

    socket: where gh finds it. refuses: the status with which it refuses to write, or 0.
    started: the workflows that were started, and on which branch.
    """

    socket: Path
    refuses: int = 0
    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    started: list[tuple[str, str]] = field(default_factory=list)

    def comment(self, body: str, by_bot: bool) -> None:
        """Add a comment, by the bot whose token gh has or by a person."""
        author = {"login": "github-actions" if by_bot else "ana"}
        number = str(len(self.comments))
        entry = {"id": number, "author": author, "viewerDidAuthor": by_bot, "body": body}
        self.comments.append(entry)

    def issue(self, title: str, body: str, by_bot: bool) -> dict[str, Any]:
        """Open an issue."""
        number = len(self.issues) + 1
        author = {"login": "github-actions"} if by_bot else {"login": "ana", "id": "U1"}
        issue = {"id": f"I{number}", "number": number, "title": title, "body": body}
        issue |= {"author": author, "url": f"https://github.com/ana/project/issues/{number}"}
        self.issues.append(issue)
        return issue

    def page(self, after: str | None) -> dict[str, Any]:
        """The comments of a pull request, a page at a time."""
        start = int(after or 0)
        end = start + PAGE_SIZE
        page = {"hasNextPage": end < len(self.comments), "endCursor": str(end)}
        return {"nodes": self.comments[start:end], "pageInfo": page}

    def query(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The objects that a query names; `repository` with more fields than the query names."""
        url = "https://github.com/ana/project/pull/1"
        comments = self.page(variables.get("endCursor"))
        pull = {"id": "P1", "number": 1, "url": url, "state": "OPEN", "comments": comments}
        pulls = {"nodes": self.pulls, "totalCount": len(self.pulls), "pageInfo": {}}
        repository: dict[str, Any] = {
            "id": "R1",
            "name": "project",
            "owner": {"login": "ana"},
            "defaultBranchRef": {"name": "main"},
            "viewerPermission": "WRITE",
            "pullRequest": pull,
            "pullRequests": pulls,
        }
        if "number" in variables:
            issue = self.issues[variables["number"] - 1]
            repository |= {"issue": issue | {"__typename": "Issue"}}
            repository["issueOrPullRequest"] = repository["issue"]
        issues = {"nodes": self.issues, "totalCount": len(self.issues), "pageInfo": {}}
        repository |= {"issues": issues, "hasIssuesEnabled": True}
        viewer = {"login": "github-actions[bot]"}
        objects = {"repository": repository, "node": {"comments": comments}, "viewer": viewer}
        return {key: value for key, value in objects.items() if re.search(rf"\b{key}\b", query)}

    def mutate(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        """Do what a mutation of GitHub's schema says."""
        if "addComment(" in query:
            self.comment(values["body"], by_bot=True)
            return {"addComment": {"commentEdge": {"node": {"url": "https://github.com/new"}}}}
        if "updateIssueComment(" in query:
            self.comments[int(values["id"])]["body"] = values["body"]
            return {"updateIssueComment": {"issueComment": {"url": "https://github.com/old"}}}
        if "createIssue(" in query:
            return {"createIssue": {"issue": self.issue(values["title"], values["body"], True)}}
        if "updateIssue(" in query:
            issue = next(issue for issue in self.issues if issue["id"] == values["id"])
            issue["body"] = values["body"]
            return {"updateIssue": {"__typename": "", "issue": issue}}
        assert "createPullRequest(" in query
        names = ("headRefName", "baseRefName", "title", "body")
        pull = {name: values[name] for name in names}
        pull |= {"id": "P1", "number": 1, "url": "https://github.com/pull", "state": "OPEN"}
        self.pulls.append(pull)
        return {"createPullRequest": {"pullRequest": pull}}


@contextmanager
def stand_in() -> Iterator[GitHub]:
    """GitHub's API at a socket, with `secret` as the one token that it knows."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Authorization"] == "token secret"
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == f"{WORKFLOWS}/1/dispatches":
                state.started.append((WORKFLOW, request["ref"]))
                self.answer(200, {"workflow_run_id": 1})
                return
            assert self.path == "/graphql"
            variables = request.get("variables") or {}
            if "mutation" not in request["query"]:
                self.answer(200, {"data": state.query(request["query"], variables)})
            elif state.refuses == 403:
                self.answer(200, {"data": None, "errors": [FORBIDDEN]})
            elif state.refuses:
                self.answer(state.refuses, {"message": "Bad credentials"})
            else:
                values = variables.get("input", {})
                self.answer(200, {"data": state.mutate(request["query"], values)})

        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "token secret"
            assert self.path == f"{WORKFLOWS}/{WORKFLOW}"
            self.answer(200, {"id": 1, "path": f".github/workflows/{WORKFLOW}", "state": "active"})

        def answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder:  # a socket's path may have 107 characters
        state = GitHub(Path(folder, "socket"))
        with socketserver.ThreadingUnixStreamServer(str(state.socket), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield state
            finally:
                server.shutdown()
                thread.join()
