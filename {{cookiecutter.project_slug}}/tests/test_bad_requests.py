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
TEXT = {"Content-Type": "text/plain"}
CAT = {"prediction_id": "0" * 32, "label": "cat"}
BAD_REQUESTS = {
    "text": ("POST", "/v1/predict", {"content": b"hello"}, 422, "not an image"),
    "cut off": ("POST", "/v1/predict", {"content": DIGIT[:60]}, 422, "broken"),
    "nothing": ("POST", "/v1/predict", {"content": b""}, 422, "no image"),
    "too many pixels": ("POST", "/v1/predict", {"content": LARGE}, 422, "250,000"),
    "too many bytes": ("POST", "/v1/predict", {"content": bytes(100_001)}, 413, "100,000"),
    "other field": ("POST", "/v1/predict", {"files": {"image": ("3.png", DIGIT)}}, 422, "`file`"),
    "other content type": ("POST", "/v1/predict", {"headers": TEXT}, 415, "image/png"),
    "no boolean": ("POST", "/v1/predict?keep_image=maybe", {"content": DIGIT}, 422, "keep_image"),
    "feedback on nothing": ("POST", "/v1/feedback", {"json": {"label": "3"}}, 422, "prediction_id"),
    "much feedback": ("POST", "/v1/feedback", {"content": bytes(5000)}, 413, "4,096"),
    "unknown label": ("POST", "/v1/feedback", {"json": CAT}, 422, "label has to be one of 0, 1"),
    "unknown path": ("GET", "/v2/predict", {}, 404, "Not Found"),
    "other method": ("GET", "/v1/predict", {}, 405, "Method Not Allowed"),
    "unknown file": ("GET", "/static/nothing.js", {}, 404, "Not Found"),
}


@pytest.fixture(scope="module")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir, max_body_bytes=100_000, max_pixels=250_000) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "words"), BAD_REQUESTS.values(), ids=BAD_REQUESTS
)
def test_a_bad_request_is_a_problem_that_names_what_is_wrong(
    client: httpx.Client, method: str, path: str, request_: dict[str, Any], status: int, words: str
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
