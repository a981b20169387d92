"""Several workers are one service, and how it ends costs nobody a prediction."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from ..serving_helpers import PNG, eventually, png, rows, run_module, running_server
from .clients import clients, connect, head_of, metric, more

COUNT = "SELECT count(*) FROM predictions"


def test_metrics_add_up_over_the_workers(model_dir: Path, digit: bytes) -> None:
    with running_server(model_dir, num_workers=2) as client:
        for _ in range(20):  # each on a connection of its own, so that both workers get some
            httpx.post(f"{client.base_url}/v1/predict", content=digit, headers=PNG, timeout=60)
        assert eventually(lambda: metric(client, 'predictions_total{label="3"}') == 20)


def test_what_a_killed_worker_had_queued_is_not_counted_for_ever(tmp_path: Path) -> None:
    def worker(code: str) -> str:
        program = f"from my_project.serving import metrics; {code}"
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    worker("metrics.QUEUE_DEPTH.inc(3); metrics.PREDICTIONS.labels('3').inc()")
    text = worker("print(metrics.render().decode())")
    assert 'predictions_total{label="3"} 1.0' in text
    assert not re.search(r"^prediction_queue_depth [1-9]", text, re.MULTILINE)


def test_a_keys_rate_is_that_of_all_workers_together(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    keys = tmp_path / "keys.json"
    ten, one = (
        PNG | {"Authorization": f"Bearer {run_module(*create, api_keys_file=keys)}"}
        for create in (
            ("serving.keys", "create", "ten-in-a-second", "--rate", "10"),
            ("serving.keys", "create", "one-in-an-hour", "--rate", "0.0003"),
        )
    )
    settings = {"environment": "production", "api_keys_file": keys, "num_workers": 4}
    with running_server(model_dir, **settings) as client:
        url = f"{client.base_url}/v1/predict"
        at_once = [client.post(url, content=digit, headers=ten).status_code for _ in range(10)]
        assert at_once == [200] * 10
        assert client.post(url, content=digit, headers=one).status_code == 200
        # Each by a connection of its own, so by any of the workers.
        others = [
            httpx.post(url, content=digit, headers=one, timeout=60).status_code for _ in range(40)
        ]
        assert others == [429] * 40


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
        with clients(server.base_url, digit) as results:
            more(results)
            os.kill(int(started()[0]), signal.SIGKILL)
            assert eventually(lambda: len(started()) == 3), log
            more(results)
        assert "died" in log
        # At most what was on its way to the one that was killed.
        assert sum(results.values()) - results["200"] <= 10, results


def refuses(server: httpx.Client) -> bool:
    """Whether the server takes no connection any more."""
    try:
        connect(server).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_was_taken_before_sigterm_gets_its_response(
    model_dir: Path, digit: bytes, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'predictions.db'}"
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        server = stack.enter_context(running_server(model_dir, database_url=database))
        with clients(server.base_url, digit) as results:
            more(results)
            ended = pool.submit(stack.close)
            assert eventually(lambda: results["ConnectionRefusedError"] > 0), results
            ended.result()
    # A prediction that was made and not sent would be one row too many.
    assert rows(database, COUNT) == [(results["200"],)]
    assert not [name for name in results if name.startswith("5")]


def test_an_upload_that_sigterm_interrupts_is_finished_and_its_prediction_stored(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    database = f"sqlite:///{tmp_path}/predictions.db"
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        server = stack.enter_context(running_server(model_dir, database_url=database))
        upload = connect(server)
        upload.sendall(head_of(digit, expect_continue=True))
        assert upload.recv(100).startswith(b"HTTP/1.1 100")  # the head has been read
        upload.sendall(digit[:100])
        ended = pool.submit(stack.close)
        assert eventually(lambda: refuses(server))
        upload.sendall(digit[100:])
        response = b"".join(iter(lambda: upload.recv(65536), b""))
        upload.close()
        ended.result()
    assert b'"label":"3"' in response
    assert rows(database, "SELECT label FROM predictions") == [("3",)]


def test_the_queue_is_bounded_for_bodies_that_come_after_their_heads_too(model_dir: Path) -> None:
    large = png(np.zeros((4000, 4000), np.uint8))  # takes its time
    with running_server(model_dir, max_queue_size=2) as server, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(8)]
        for connection in connections:
            connection.sendall(head_of(large, expect_continue=True))
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the head has been read
        for connection in connections:
            connection.sendall(large)
        statuses = [connection.recv(12)[-3:] for connection in connections]
    assert set(statuses) == {b"200", b"503"}
