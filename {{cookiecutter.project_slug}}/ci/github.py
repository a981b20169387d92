"""The few calls to GitHub's REST API that CI needs."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 30


class TokenError(Exception):
    """There is no token, or it may not do this."""


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Call the API for this repository, and give the answer's JSON.

    path: below `/repos/<owner>/<name>/`. Token, repository and address come from the variables
    that GitHub sets: `GITHUB_TOKEN`, `GITHUB_REPOSITORY`, `GITHUB_API_URL`.

    Raises:
        TokenError: no token, or one without the permission, as a fork's pull request has.
        urllib.error.HTTPError: any other refusal.
    """
    token = os.environ.get("GITHUB_TOKEN")
    if not token:
        raise TokenError("there is no GITHUB_TOKEN")
    api = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    request = urllib.request.Request(  # noqa: S310, the address is GitHub's own
        f"{api}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as refusal:
        if refusal.code in (401, 403):
            raise TokenError("the token may not do this") from None
        raise
