"""What makes the service fit for production: keys, feedback, a full queue, clients without end."""

import contextlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from package_name.serving.keys import KeyFile

from .serving_helpers import PNG, eventually, png, rows, run_module, running_server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of an empty database."""
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/predictions.db"


@pytest.fixture(scope="module")
def client(model_dir: Path, database: str) -> Iterator[httpx.Client]:
    with running_server(model_dir, database_url=database, max_queue_size=2) as client:
        yield client


def test_every_prediction_is_stored_without_its_image(
    client: httpx.Client, database: str, digit: bytes
) -> None:
    response = client.post("/v1/predict", content=digit, headers=PNG)
    prediction = response.json()
    assert response.headers["x-request-id"] == prediction["id"]
    # The id in it is the service's own.
    query = f"SELECT * FROM predictions WHERE id = '{prediction['id']}'"  # noqa: S608, our own id
    [row] = eventually(lambda: rows(database, query))
    assert (row.label, row.model_sha256) == ("3", prediction["model"]["sha256"])
    # as text from SQLite, and without its zone; as a time and a list from PostgreSQL
    time = datetime.fromisoformat(str(row.time))
    age = datetime.now(UTC) - (time if time.tzinfo else time.replace(tzinfo=UTC))
    assert timedelta(0) < age < timedelta(hours=1)
    stored = row.probabilities
    stored = json.loads(stored) if isinstance(stored, str) else stored
    assert stored[3] == prediction["probabilities"][0]["probability"]
    assert row.image is None


def test_feedback_on_a_kept_image_becomes_a_file_in_the_folder_of_its_true_class(
    client: httpx.Client, database: str, digit: bytes, tmp_path: Path
) -> None:
    prediction = client.post("/v1/predict?keep_image=true", content=digit, headers=PNG).json()
    feedback = {"prediction_id": prediction["id"], "label": "5"}
    assert client.post("/v1/feedback", json=feedback).status_code == 202
    # Both rows may be written by different workers, one after the other.
    query = "SELECT 1 FROM feedback JOIN predictions ON predictions.id = feedback.prediction_id"
    assert eventually(lambda: rows(database, query))
    run_module("monitoring.export_feedback", f"{tmp_path}/export", database_url=database)
    assert (tmp_path / "export/5" / f"{prediction['id']}.png").read_bytes() == digit


def test_more_requests_than_the_queue_holds_get_503_and_the_others_their_prediction(
    client: httpx.Client, digit: bytes
) -> None:
    large = png(np.zeros((4000, 4000), np.uint8))  # takes its time
    head = f"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(large)}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", client.base_url.port)
        connections = [
            stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(8)
        ]
        for connection in connections:  # all of them, before any has its response
            connection.sendall(head.encode() + large)
        responses = [connection.recv(65536) for connection in connections]
    refused = [response for response in responses if response.startswith(b"HTTP/1.1 503")]
    assert 0 < len(refused) < 8
    assert all(b"\r\nretry-after: 1\r\n" in response for response in refused)
    assert sum(response.startswith(b"HTTP/1.1 200") for response in responses) == 8 - len(refused)
    assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200


@pytest.mark.parametrize("more", [b"X-More: of the head\r\n", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_or_a_row_of_requests_without_end_is_cut_off(
    client: httpx.Client, more: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        with pytest.raises(ConnectionError):
            connection.sendall(1_000_000 * more)  # 24 MB or more, if nobody stops it
    assert client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def production(model_dir: Path, keys: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir, environment="production", api_keys_file=keys) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return PNG | {"Authorization": f"Bearer {token}"}


def test_in_production_only_a_key_with_the_right_permission_is_let_in(
    production: httpx.Client, keys: Path, digit: bytes
) -> None:
    def status(path: str, headers: dict[str, str]) -> int:
        return production.post(path, content=digit, headers=headers).status_code

    token = KeyFile(keys).create("shop", ("predict",), rate=100)
    assert token.split(".")[1] not in keys.read_text()
    assert eventually(lambda: status("/v1/predict", bearer(token)) == 200)
    assert status("/v1/predict", PNG) == 401
    assert status("/v1/predict", bearer(f"{token}x")) == 401
    assert status("/v1/predict", PNG | {"Authorization": "Bearer"}) == 401
    assert production.get("/v1/model").status_code == 401
    assert production.get("/metrics", headers=bearer(token)).status_code == 403
    assert production.get("/healthz").status_code == 200

    KeyFile(keys).revoke("shop")
    assert eventually(lambda: status("/v1/predict", bearer(token)) == 401)


def test_a_key_over_its_rate_is_told_when_to_come_back(
    production: httpx.Client, keys: Path, digit: bytes
) -> None:
    token = KeyFile(keys).create("slow", ("predict",), rate=0.01)

    def predict() -> httpx.Response:
        return production.post("/v1/predict", content=digit, headers=bearer(token))

    assert eventually(lambda: predict().status_code == 200)
    refused = predict()
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 100
