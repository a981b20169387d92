"""What makes the service fit for production: keys, limits, memory, metrics, a clean end."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from package_name.serving.store import (
    Store,
    as_text,
    feedback,
    predictions,
)

from .serving_helpers import (
    PNG,
    clients,
    connect,
    eventually,
    head_of,
    more,
    png,
    rows,
    running_server,
)


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
    # The id in it is the service's own.
    query = f"SELECT * FROM predictions WHERE id = '{prediction['id']}'"  # noqa: S608
    [row] = eventually(lambda: rows(database, query))
    assert (row.label, row.model_sha256) == ("3", prediction["model"]["sha256"])
    # as text from SQLite, as a time and a list from PostgreSQL
    age = datetime.now(UTC) - datetime.fromisoformat(str(row.time))
    assert timedelta(0) < age < timedelta(minutes=1)
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


def test_metrics_add_up_over_the_workers(model_dir: Path, digit: bytes) -> None:
    with running_server(model_dir, num_workers=2) as client:
        for _ in range(20):  # each on a connection of its own, so that both workers get some
            httpx.post(f"{client.base_url}/v1/predict", content=digit, headers=PNG)
        count = 'predictions_total{label="3"} 20.0'
        assert eventually(lambda: count in client.get("/metrics").text)


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


def test_a_keys_rate_is_that_of_all_workers_together(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    keys = tmp_path / "keys.json"
    token = run_module("keys", "create", "slow", "--rate", "10", api_keys_file=keys)
    settings = {"environment": "production", "api_keys_file": keys, "num_workers": 4}
    headers = PNG | {"Authorization": f"Bearer {token}"}
    with running_server(model_dir, **settings) as client:
        start = time.monotonic()
        alone = [
            client.post("/v1/predict", content=digit, headers=headers).status_code
            for _ in range(10)
        ]
        assert alone == [200] * 10  # by one connection, so to one worker
        url = f"{client.base_url}/v1/predict"
        others = [httpx.post(url, content=digit, headers=headers).status_code for _ in range(40)]
        allowed = 10 + 10 * (time.monotonic() - start)
        assert 10 + others.count(200) <= allowed + 4
        assert 429 in others


@pytest.mark.parametrize(("name", "rate"), [("shop", "0"), ("shop", "nan"), ("kl\u00fc", "1")])
def test_a_key_that_could_never_be_used_is_not_made(tmp_path: Path, name: str, rate: str) -> None:
    file = tmp_path / "keys.json"
    module = "package_name.serving.keys"
    command = [sys.executable, "-m", module, "create", name, "--rate", rate]
    environment = os.environ | {"API_KEYS_FILE": str(file)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert not file.exists()


def test_what_is_too_old_is_deleted_while_nothing_happens(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/predictions.db"
    times = [datetime.now(UTC) - timedelta(days=days) for days in (10, 1)]
    writer = Store(url, max_bytes=100_000, retention_days=0)
    for number, when in enumerate(times):
        writer.add(predictions, prediction_row(str(number), when))
        for prediction_id in (str(number), "unknown"):
            row = {"prediction_id": prediction_id, "time": as_text(when)}
            writer.add(feedback, row | {"api_key": None, "label": "3"})
    writer.stop()
    assert len(rows(url, "SELECT * FROM feedback")) == 4

    store = Store(url, max_bytes=100_000, retention_days=5)
    try:
        assert eventually(lambda: rows(url, "SELECT id FROM predictions") == [("1",)])
    finally:
        store.stop()
    ids = rows(url, "SELECT prediction_id FROM feedback ORDER BY prediction_id")
    assert ids == [("1",), ("unknown",)]


def test_a_database_that_is_back_at_the_end_gets_its_rows(tmp_path: Path) -> None:
    folder = tmp_path / "not-there-yet"
    url = f"sqlite:///{folder}/predictions.db"
    store = Store(url, max_bytes=100_000, retention_days=0)
    store.add(predictions, prediction_row("1", datetime.now(UTC)))
    time.sleep(0.5)  # the first try fails
    folder.mkdir()
    store.stop()
    assert rows(url, "SELECT id FROM predictions") == [("1",)]


def test_a_statement_is_bounded_in_rows_and_in_bytes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing/predictions.db"  # so that rows wait
    store = Store(url, max_bytes=100_000_000, retention_days=0)
    now = datetime.now(UTC)
    for number in range(200):
        store.add(predictions, prediction_row(str(number), now))
    few, _ = store._next_rows()
    store.stop()
    assert len(few) * len(few[0][1]) <= 999  # what an old SQLite takes
    store = Store(url, max_bytes=100_000_000, retention_days=0)
    picture = bytes(600_000)
    for number in range(10):
        store.add(predictions, prediction_row(str(number), now) | {"image": picture})
    large, num_bytes = store._next_rows()
    assert len(large) == 2
    assert num_bytes >= 2 * len(picture)
    (tmp_path / "missing").mkdir()
    store.stop()
    assert len(rows(url, "SELECT id FROM predictions")) == 10


def prediction_row(number: str, when: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "time": as_text(when),
        "model_sha256": "0" * 64,
        "api_key": None,
        "label": "3",
        "probabilities": "[1.0]",
        "pixel_mean": 0.0,
        "pixel_std": 0.0,
        "num_bytes": 1,
        "image": None,
    }


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


def test_more_requests_than_the_queue_holds_get_503_and_the_others_their_answer(
    model_dir: Path, digit: bytes
) -> None:
    large = png(np.zeros((3000, 3000), np.uint8))  # takes its time
    with running_server(model_dir, max_queue_size=2) as client, ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: httpx.post(f"{client.base_url}/v1/predict", content=large, headers=PNG),
                range(24),
            )
        )
        assert {answer.status_code for answer in answers} == {200, 503}
        refused = [answer for answer in answers if answer.status_code == 503]
        assert all(answer.headers["retry-after"] == "1" for answer in refused)
        assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200


def test_the_queue_is_bounded_for_bodies_that_come_after_their_heads_too(model_dir: Path) -> None:
    large = png(np.zeros((3000, 3000), np.uint8))
    head = head_of(large)
    with running_server(model_dir, max_queue_size=2) as server, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(8)]
        for connection in connections:
            connection.sendall(head)
        time.sleep(0.5)  # until the server has read them all
        for connection in connections:
            connection.sendall(large)
        statuses = [connection.recv(12)[-3:] for connection in connections]
    assert set(statuses) == {b"200", b"503"}


def test_a_worker_that_is_killed_is_replaced(
    model_dir: Path, digit: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    log = ""

    def started() -> list[str]:
        nonlocal log
        log += capfd.readouterr().out
        return re.findall(r"Started server process \[(\d+)\]", log)

    with running_server(model_dir, num_workers=2) as server:
        assert eventually(lambda: len(started()) == 2)
        with clients(server.base_url, digit) as answers:
            more(answers)
            os.kill(int(started()[0]), signal.SIGKILL)
            assert eventually(lambda: len(started()) == 3), log
            more(answers)
        assert "starting another" in log
        # At most what was on its way to the one that was killed.
        assert sum(answers.values()) - answers["200"] <= 10, answers


def test_workers_that_cannot_start_end_the_service(model_dir: Path, tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "import sys\n"
        "from package_name.serving.server import bind, supervise\n"
        "from package_name.serving.settings import Settings\n"
        "if __name__ == '__main__':\n"
        "    settings = Settings(num_workers=2, port=0)\n"
        "    sys.exit(supervise(settings, bind(settings)))\n",
        encoding="utf-8",
    )
    environment = os.environ | {
        "DATABASE_URL": "nonsense",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    command = [sys.executable, str(script)]
    result = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert result.returncode == 3
    assert b"stopping" in result.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DATABASE_URL": "postgres://localhost/a"}, "error: DATABASE_URL cannot be used: "),
        ({"MAX_PIXELS": "many"}, "error: MAX_PIXELS=many: "),
        ({"PORT": "in use"}, "error: cannot listen on 127.0.0.1:"),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(
    settings: dict[str, str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if settings.get("PORT"):
            settings = {"PORT": str(taken.getsockname()[1])}
        command = [sys.executable, "-m", "package_name.serving"]
        environment = os.environ | settings
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1 or "DATABASE_URL" in settings
