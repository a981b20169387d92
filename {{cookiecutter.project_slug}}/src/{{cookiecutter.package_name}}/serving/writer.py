"""Writes records behind the response, so that a slow or broken database fails no prediction."""

import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from . import metrics
from .records import connect, feedback, metadata, predictions

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.05
RETRY_SECONDS = 1.0
STOP_SECONDS = 10.0
CLEAN_UP_SECONDS = 3600.0
# Of one write: requests wait for the interpreter while its rows are prepared.
MAX_ROWS = 90
MAX_WRITE_BYTES = 1_000_000  # roughly: a row with a large image is still written
ROW_BYTES = 1_000  # of memory for a row without its image, roughly

Row = tuple[sa.Table, dict[str, Any]]


class RecordWriter:
    """A bounded buffer in front of the database, and the thread that empties it.

    Args:
        max_bytes: of rows that wait; more are dropped and counted.
        retention_days: after which rows are deleted; 0 keeps them for ever.
    """

    def __init__(self, url: str, max_bytes: int, retention_days: int) -> None:
        self.max_bytes = max_bytes
        self.retention_days = retention_days
        self._engine = connect(url)
        is_postgresql = self._engine.dialect.name == "postgresql"
        self._insert = postgresql.insert if is_postgresql else sqlite.insert
        self._rows: deque[Row] = deque()
        self._num_bytes = 0
        self._lock = threading.Lock()  # of _num_bytes; a deque needs none
        self._stopping = threading.Event()
        self._has_tables = False
        self._next_clean_up = 0.0
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, table: sa.Table, row: dict[str, Any]) -> None:
        """Write a row soon; dropped and counted if the buffer is full."""
        size = _size(row)
        with self._lock:
            if self._num_bytes + size > self.max_bytes:
                metrics.RECORDS_DROPPED.inc()
                return
            self._num_bytes += size
        self._rows.append((table, row))

    def has_prediction(self, identifier: str, api_key: str | None) -> bool:
        """Whether a prediction of this id was made for this key; it blocks.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        wanted = {"id": identifier, "api_key": api_key}
        if any(
            wanted.items() <= row.items()
            for table, row in self._rows.copy()
            if table is predictions
        ):
            return True
        is_wanted = (predictions.c.id == identifier) & predictions.c.api_key.is_not_distinct_from(
            api_key
        )
        self._create_tables()  # the thread may not have come to it yet
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(predictions.c.id).where(is_wanted)).first()
        return found is not None

    def stop(self) -> None:
        """Write what the buffer holds, as far as the database takes it, and end the thread."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)  # a database that never answers does not hold up the end
        if self._rows:
            metrics.RECORDS_DROPPED.inc(len(self._rows))
            logger.error("%d rows could not be written to the database", len(self._rows))
        self._engine.dispose()

    def _run(self) -> None:
        is_down = False
        while True:
            if len(self._rows) < MAX_ROWS:
                self._stopping.wait(WRITE_SECONDS)  # a few large writes cost less than many small
            is_last = self._stopping.is_set()
            try:
                self._create_tables()
                if self._rows:
                    self._write_some()
                self._clean_up()
                is_down = False
            except SQLAlchemyError as error:
                metrics.RECORD_ERRORS.inc()
                if not is_down:
                    # In the driver's words; SQLAlchemy's have all the rows.
                    reason = getattr(error, "orig", None) or error
                    logger.error("the database does not take rows; they wait: %s", reason)
                is_down = True
                self._stopping.wait(RETRY_SECONDS)
            if is_last and (is_down or not self._rows):
                return

    def _create_tables(self) -> None:
        """Create what is missing; several workers may do so at the same moment."""
        if not self._has_tables:
            with self._engine.begin() as connection:
                for table in metadata.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
            self._has_tables = True

    def _write_some(self) -> None:
        rows, num_bytes = self._next_rows()
        with self._engine.begin() as connection:
            for table in metadata.sorted_tables:
                if values := [row for row_table, row in rows if row_table is table]:
                    # Rows are written again if a connection broke after they were committed.
                    connection.execute(self._insert(table).on_conflict_do_nothing(), values)
        for _ in rows:  # only now that they are safe
            self._rows.popleft()
        with self._lock:
            self._num_bytes -= num_bytes
        metrics.RECORDS_WRITTEN.inc(len(rows))

    def _next_rows(self) -> tuple[list[Row], int]:
        """The oldest rows, as many as one write may have, and their size."""
        rows: list[Row] = []
        num_bytes = 0
        while len(rows) < min(len(self._rows), MAX_ROWS) and num_bytes < MAX_WRITE_BYTES:
            rows.append(self._rows[len(rows)])
            num_bytes += _size(rows[-1][1])
        return rows, num_bytes

    def _clean_up(self) -> None:
        """Once an hour, delete what is too old, and feedback on a prediction that is."""
        now = time.monotonic()
        if not self.retention_days or now < self._next_clean_up:
            return
        oldest = datetime.now(UTC) - timedelta(days=self.retention_days)
        old = sa.select(predictions.c.id).where(predictions.c.time < oldest)
        is_old = (feedback.c.time < oldest) | feedback.c.prediction_id.in_(old)
        with self._engine.begin() as connection:
            connection.execute(feedback.delete().where(is_old))
            connection.execute(predictions.delete().where(predictions.c.time < oldest))
        self._next_clean_up = now + CLEAN_UP_SECONDS


def _size(row: dict[str, Any]) -> int:
    return ROW_BYTES + len(row.get("image") or b"")
