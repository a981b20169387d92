"""Put the report into one comment of a pull request: the first run writes it, others update it."""

import json
import os
from pathlib import Path
from typing import Any

from .github import TokenError, call
from .messages import notice

REPORT = Path("build/report.md")
MARKER = "<!-- model report -->"
MAX_CHARACTERS = 65_000  # GitHub takes 65,536
PAGE_SIZE = 100


def main() -> None:
    """Comment on the pull request of the event in `GITHUB_EVENT_PATH`."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    body = f"{MARKER}\n{REPORT.read_text(encoding='utf-8')}"
    if len(body) > MAX_CHARACTERS:
        body = f"{body[:MAX_CHARACTERS]}\n\nThe rest is in the run's summary."
    try:
        comment(event["pull_request"]["number"], body)
    except TokenError as reason:
        notice(f"No comment on the pull request: {reason}. The report is in the run's summary.")


def comment(number: int, body: str) -> None:
    """Update this script's comment on a pull request, or write it if there is none."""
    earlier = _find(number)
    if earlier:
        call("PATCH", f"issues/comments/{earlier['id']}", {"body": body})
    else:
        call("POST", f"issues/{number}/comments", {"body": body})
    print(f"Pull request {number}: comment {'updated' if earlier else 'written'}")


def _find(number: int) -> dict[str, Any] | None:
    page = 1
    while True:
        comments = call("GET", f"issues/{number}/comments?per_page={PAGE_SIZE}&page={page}")
        for found in comments:
            if found["body"].startswith(MARKER) and found["user"]["type"] == "Bot":
                return dict(found)
        if len(comments) < PAGE_SIZE:
            return None
        page += 1


if __name__ == "__main__":
    main()
