"""What a client does wrong gets a status and one sentence that say so, as RFC 9457 asks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from .digits import digit_images
from .serving_helpers import PNG, png, running_server

DIGIT = png(digit_images()[0][3])
LARGE = png(np.zeros((4000, 4000), dtype=np.uint8))  # 16 million pixels in 16 kB
UNKNOWN_LABEL = {"prediction_id": "0" * 32, "label": "cat"}


@pytest.fixture(scope="module")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir, max_body_bytes=100_000, max_pixels=250_000) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "words"),
    [
        ("POST", "/v1/predict", {"content": b"hello"}, 422, "not an image"),
        ("POST", "/v1/predict", {"content": DIGIT[:60]}, 422, "broken"),
        ("POST", "/v1/predict", {"content": b""}, 422, "no image"),
        ("POST", "/v1/predict", {"content": LARGE}, 422, "250,000"),
        ("POST", "/v1/predict", {"content": bytes(100_001)}, 413, "100,000"),
        ("POST", "/v1/predict", {"files": {"image": ("3.png", DIGIT)}}, 422, "`file`"),
        ("POST", "/v1/predict", {"headers": {"Content-Type": "text/plain"}}, 415, "image/png"),
        ("POST", "/v1/predict?keep_image=maybe", {"content": DIGIT}, 422, "keep_image"),
        ("POST", "/v1/feedback", {"json": {"label": "3"}}, 422, "prediction_id"),
        ("POST", "/v1/feedback", {"content": bytes(5000)}, 413, "4,096"),
        ("POST", "/v1/feedback", {"json": UNKNOWN_LABEL}, 422, "label has to be one of 0, 1"),
        ("GET", "/v2/predict", {}, 404, "Not Found"),
        ("GET", "/v1/predict", {}, 405, "Method Not Allowed"),
        ("GET", "/static/nothing.js", {}, 404, "Not Found"),
    ],
    ids=[
        *("text", "cut off", "nothing", "too many pixels", "too many bytes", "other field"),
        *("other content type", "no boolean", "feedback on nothing", "much feedback"),
        *("unknown label", "unknown path", "other method", "unknown file"),
    ],
)
def test_a_bad_request_is_a_problem_that_names_what_is_wrong(
    client: httpx.Client,
    method: str,
    path: str,
    request_: dict[str, Any],
    status: int,
    words: str,
) -> None:
    if "content" in request_:
        request_ = request_ | {"headers": PNG}
    response = client.request(method, path, **request_)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert words in problem["detail"]
    assert "Traceback" not in response.text
