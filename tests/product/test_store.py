"""Predictions are stored behind the response: late, in bounded statements, and not for ever."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY

from my_project.serving.records import feedback, predictions
from my_project.serving.writer import RecordWriter

from ..serving_helpers import PNG, eventually, rows, running_server
from .clients import metric


def prediction_row(number: int, when: datetime) -> dict[str, Any]:
    return {
        "id": str(number),
        "time": when,
        "model_sha256": "0" * 64,
        "api_key": None,
        "label": "3",
        "probabilities": [1.0],
        "pixel_mean": 0.0,
        "pixel_std": 0.0,
        "num_bytes": 1,
        "image": None,
    }


def test_what_is_too_old_is_deleted_while_nothing_happens(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/predictions.db"
    times = [datetime.now(UTC) - timedelta(days=days) for days in (10, 1)]
    writer = RecordWriter(url, max_bytes=100_000, retention_days=0)
    writer.start()
    for number, when in enumerate(times):
        writer.add(predictions, prediction_row(number, when))
        for prediction_id in (str(number), "unknown"):
            row = {"prediction_id": prediction_id, "time": when}
            writer.add(feedback, row | {"api_key": None, "label": "3"})
    writer.stop()
    assert len(rows(url, "SELECT * FROM feedback")) == 4

    cleaner = RecordWriter(url, max_bytes=100_000, retention_days=5)
    cleaner.start()
    try:
        assert eventually(lambda: rows(url, "SELECT id FROM predictions") == [("1",)])
    finally:
        cleaner.stop()
    ids = rows(url, "SELECT prediction_id FROM feedback ORDER BY prediction_id")
    assert ids == [("1",), ("unknown",)]


def test_a_database_that_is_back_at_the_end_gets_its_rows(tmp_path: Path) -> None:
    def num_errors() -> float:
        return REGISTRY.get_sample_value("store_errors_total") or 0.0

    before = num_errors()
    folder = tmp_path / "not-there-yet"
    url = f"sqlite:///{folder}/predictions.db"
    writer = RecordWriter(url, max_bytes=100_000, retention_days=0)
    writer.start()
    writer.add(predictions, prediction_row(1, datetime.now(UTC)))
    assert eventually(lambda: num_errors() > before)
    folder.mkdir()
    writer.stop()
    assert rows(url, "SELECT id FROM predictions") == [("1",)]


@contextmanager
def inserts() -> Iterator[list[Sequence[Any]]]:
    """The rows of each INSERT that is sent to a database as long as the block lasts."""
    sent: list[Sequence[Any]] = []

    def note(
        connection: sa.Connection, cursor: Any, statement: str, values: Sequence[Any], *_: Any
    ) -> None:
        if statement.startswith("INSERT"):
            sent.append(values)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("num_rows", "num_bytes", "rows_of_a_write"),
    [(200, 0, [90, 90, 20]), (10, 600_000, [2, 2, 2, 2, 2])],
    ids=["rows", "bytes"],
)
def test_a_write_is_bounded_in_rows_and_in_bytes(
    tmp_path: Path, num_rows: int, num_bytes: int, rows_of_a_write: list[int]
) -> None:
    url = f"sqlite:///{tmp_path}/predictions.db"
    image = bytes(num_bytes) if num_bytes else None
    with inserts() as sent:
        writer = RecordWriter(url, max_bytes=100_000_000, retention_days=0)
        for number in range(num_rows):
            writer.add(predictions, prediction_row(number, datetime.now(UTC)) | {"image": image})
        writer.start()
        writer.stop()
    assert [len(values) for values in sent] == rows_of_a_write
    assert len(rows(url, "SELECT id FROM predictions")) == num_rows


def test_a_database_that_is_down_fails_no_prediction_and_gets_the_rows_later(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    folder = tmp_path / "not-there-yet"
    database = f"sqlite:///{folder}/predictions.db"
    with running_server(model_dir, database_url=database) as client:
        for _ in range(10):
            assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200
        assert eventually(lambda: metric(client, "store_errors_total") > 0)
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
        assert metric(client, "store_rows_dropped_total") == 2
