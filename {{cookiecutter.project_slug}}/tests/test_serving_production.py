"""What makes the service fit for production: keys, limits, memory, metrics, a clean end."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from .serving_helpers import (
    eventually,
    rows,
    running_server,
)

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('database')}/predictions.db"
    url = os.environ.get("TEST_POSTGRESQL_URL")
    if url is None:
        pytest.skip("TEST_POSTGRESQL_URL is not set: postgresql+psycopg://user:password@host/name")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS predictions, feedback"))
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def client(model_dir: Path, database: str) -> Iterator[httpx.Client]:
    with running_server(model_dir, database_url=database, num_workers=2) as client:
        yield client


def run_module(name: str, *arguments: str, **environment: object) -> str:
    variables = {key.upper(): str(value) for key, value in environment.items()}
    module = f"package_name.serving.{name}"
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_every_prediction_is_remembered_without_its_picture(
    client: httpx.Client, database: str, digit: bytes
) -> None:
    answer = client.post("/v1/predict", content=digit, headers=PNG)
    prediction = answer.json()
    assert answer.headers["x-request-id"] == prediction["id"]
    query = f"SELECT label, model_sha256, probabilities, image FROM predictions WHERE id = '{prediction['id']}'"  # noqa: E501, S608
    [row] = eventually(lambda: rows(database, query))
    assert (row.label, row.model_sha256) == ("3", prediction["model"]["sha256"])
    # as text from SQLite, as a list from PostgreSQL
    stored = row.probabilities
    stored = json.loads(stored) if isinstance(stored, str) else stored
    assert stored[3] == prediction["probabilities"][0]["probability"]
    assert row.image is None


def test_feedback_on_a_kept_picture_becomes_a_file_in_the_folder_of_its_true_class(
    client: httpx.Client, database: str, digit: bytes, tmp_path: Path
) -> None:
    answer = client.post("/v1/predict?keep_image=true", content=digit, headers=PNG).json()
    feedback = {"prediction_id": answer["id"], "label": "5"}
    assert client.post("/v1/feedback", json=feedback).status_code == 202
    eventually(lambda: rows(database, "SELECT * FROM feedback"))
    eventually(lambda: run_module("feedback", str(tmp_path), database_url=database)[0] != "0")
    assert (tmp_path / "5" / f"{answer['id']}.png").read_bytes() == digit


def test_feedback_with_a_label_that_no_class_has_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/feedback", json={"prediction_id": "0" * 32, "label": "cat"})
    assert answer.status_code == 422
    assert "label has to be one of 0, 1" in answer.json()["detail"]


def test_metrics_add_up_over_the_workers(client: httpx.Client, digit: bytes) -> None:
    def count() -> float:
        text = client.get("/metrics").text
        return sum(float(n) for n in re.findall(r'predictions_total\{label="3"\} (\S+)', text))

    before = count()
    for _ in range(20):  # each on a connection of its own, so that both workers get some
        httpx.post(f"{client.base_url}/v1/predict", content=digit, headers=PNG)
    assert eventually(lambda: count() == before + 20)


def test_the_page_may_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    headers = client.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_in_production_only_a_key_with_the_right_scope_is_let_in(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    keys = tmp_path / "keys.json"
    token = run_module("keys", "create", "shop", "--scope", "predict", api_keys_file=keys)
    assert token.split(".")[1] not in keys.read_text()
    with running_server(model_dir, environment="production", api_keys_file=keys) as client:

        def status(path: str, authorization: str) -> int:
            headers = PNG | {"Authorization": authorization}
            return client.post(path, content=digit, headers=headers).status_code

        assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 401
        assert status("/v1/predict", f"Bearer {token}x") == 401
        assert status("/v1/predict", "Bearer") == 401
        assert status("/v1/predict", f"Bearer {token}") == 200
        assert client.get("/v1/model").status_code == 401
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert metrics.status_code == 403
        assert client.get("/healthz").status_code == 200

        run_module("keys", "revoke", "shop", api_keys_file=keys)
        assert eventually(lambda: status("/v1/predict", f"Bearer {token}") == 401)


def test_a_key_that_asks_too_often_is_told_when_to_come_back(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    keys = tmp_path / "keys.json"
    token = run_module("keys", "create", "slow", "--rate", "2", api_keys_file=keys)
    with running_server(model_dir, environment="production", api_keys_file=keys) as client:
        headers = PNG | {"Authorization": f"Bearer {token}"}
        answers = [client.post("/v1/predict", content=digit, headers=headers) for _ in range(5)]
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"] == "1"


def test_a_database_that_is_down_fails_no_prediction_and_gets_the_rows_later(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    folder = tmp_path / "not-there-yet"
    database = f"sqlite:///{folder}/predictions.db"
    with running_server(model_dir, database_url=database) as client:
        for _ in range(10):
            assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200
        assert eventually(
            lambda: re.search("store_errors_total [1-9]", client.get("/metrics").text)
        )
        folder.mkdir()
        assert eventually(lambda: rows(database, "SELECT id FROM predictions"))
    assert len(rows(database, "SELECT id FROM predictions")) == 10


def test_rows_that_the_buffer_cannot_hold_are_counted(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    url = f"sqlite:///{tmp_path}/missing/predictions.db"
    with running_server(model_dir, database_url=url, max_buffered_bytes=3000) as client:
        for _ in range(5):
            assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200
        assert "store_rows_dropped_total 2.0" in client.get("/metrics").text


def test_what_was_accepted_is_answered_and_remembered_when_the_service_is_stopped(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    database = f"sqlite:///{tmp_path}/predictions.db"
    arrived = threading.Event()

    def slow_body() -> Iterator[bytes]:
        yield digit[:100]
        arrived.set()
        time.sleep(1.5)
        yield digit[100:]

    with (
        ThreadPoolExecutor() as pool,
        running_server(model_dir, database_url=database) as client,
    ):
        url = f"{client.base_url}/v1/predict"
        upload = pool.submit(httpx.post, url, content=slow_body(), headers=PNG, timeout=30)
        arrived.wait()
        time.sleep(0.5)  # until the server has read the headers
    # leaving the block has stopped the server
    assert upload.result().json()["label"] == "3"
    assert rows(database, "SELECT label FROM predictions") == [("3",)]


def test_a_client_that_sends_too_slowly_is_given_up(model_dir: Path, digit: bytes) -> None:
    def slow_body() -> Iterator[bytes]:
        for byte in digit:
            yield bytes([byte])
            time.sleep(0.1)

    with running_server(model_dir, request_timeout_seconds=0.5) as client:
        try:
            answer = client.post("/v1/predict", content=slow_body(), headers=PNG)
        except httpx.WriteError:
            return  # closed before the client had read the answer
        assert answer.status_code == 408


def test_more_requests_than_the_queue_holds_get_503_and_the_others_their_answer(
    model_dir: Path, digit: bytes
) -> None:
    with running_server(model_dir, max_queue_size=1) as client, ThreadPoolExecutor(32) as pool:
        answers = list(
            pool.map(
                lambda _: httpx.post(f"{client.base_url}/v1/predict", content=digit, headers=PNG),
                range(200),
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200
        refused = [answer for answer in answers if answer.status_code == 503]
        assert all(answer.headers["retry-after"] == "1" for answer in refused)


def test_a_worker_that_is_killed_is_replaced(
    model_dir: Path, digit: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_server(model_dir, num_workers=2) as client:
        log = capfd.readouterr().out
        process_id = int(re.findall(r"Started server process \[(\d+)\]", log)[0])
        os.kill(process_id, 9)
        assert eventually(lambda: "starting another" in capfd.readouterr().out)
        time.sleep(0.2)

        def works() -> bool:
            try:
                answer = httpx.post(f"{client.base_url}/v1/predict", content=digit, headers=PNG)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        assert eventually(works)
