"""What the service remembers: predictions and feedback, in SQLite or PostgreSQL.

Rows are written behind the response by a thread of its own, from a bounded buffer: a database
that is down or slow neither fails nor slows a prediction.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from . import metrics

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.05
RETRY_SECONDS = 1.0
CLEAN_UP_SECONDS = 3600.0
# Of one statement; requests wait while it is prepared. Before 3.32, SQLite takes 999 values.
MAX_ROWS = 90
MAX_WRITE_BYTES = 1_000_000  # of one, roughly: a row with a large picture is still written
ROW_BYTES = 1_000  # of memory for a row without its picture, roughly

schema = sa.MetaData()

predictions = sa.Table(
    "predictions",
    schema,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("model_sha256", sa.String(64), nullable=False),
    sa.Column("api_key", sa.String, nullable=True),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("probabilities", sa.JSON, nullable=False),  # in the order of the model's classes
    sa.Column("pixel_mean", sa.Float, nullable=False),
    sa.Column("pixel_std", sa.Float, nullable=False),
    sa.Column("num_bytes", sa.Integer, nullable=False),
    sa.Column("image", sa.LargeBinary, nullable=True),
)

feedback = sa.Table(
    "feedback",
    schema,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("prediction_id", sa.String(32), nullable=False, index=True),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("api_key", sa.String, nullable=True),
    sa.Column("label", sa.String, nullable=False),
)

Row = tuple[sa.Table, dict[str, Any]]


def connect(url: str) -> sa.Engine:
    """An engine for `url`; several processes may write to the same SQLite file."""
    is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
    placeholder = "qmark" if is_sqlite else "format"  # `Insert` wants them without names
    engine = sa.create_engine(url, pool_pre_ping=True, paramstyle=placeholder)
    if is_sqlite:

        @sa.event.listens_for(engine, "connect")
        def set_up(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA busy_timeout = 5000")

    if engine.driver == "psycopg":

        @sa.event.listens_for(engine, "connect")
        def prepare_nothing(connection: Any, record: Any) -> None:
            connection.prepare_threshold = None  # a statement for every number of rows

    return engine


def as_text(time: datetime) -> str:
    """A time in UTC as both databases take it, and as SQLite compares it."""
    return time.isoformat(" ", "microseconds")


class Insert:
    """Inserts rows with one statement for all of them.

    SQLAlchemy's `execute` takes longer: it looks at every value of every row, and a
    driver that is given them one by one takes the interpreter's lock for each.
    """

    def __init__(self, table: sa.Table, dialect: sa.Dialect) -> None:
        insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        columns = [column for column in table.columns if column is not table.autoincrement_column]
        self._names = [column.name for column in columns]
        # Rows are written again where a connection broke after they were committed.
        statement = insert(table).on_conflict_do_nothing().inline()  # without RETURNING
        text = str(statement.compile(dialect=dialect, column_keys=self._names))
        self._start, _, rest = text.partition("VALUES")
        self._placeholders, _, self._end = rest.partition("ON CONFLICT")

    def __call__(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        placeholders = ",".join([self._placeholders] * len(rows))
        values = tuple(row.get(name) for row in rows for name in self._names)
        statement = f"{self._start} VALUES {placeholders} ON CONFLICT {self._end}"
        connection.exec_driver_sql(statement, values)


class Store:
    """A bounded buffer in front of the database, and the thread that empties it."""

    def __init__(self, url: str, max_bytes: int, retention_days: int) -> None:
        self.max_bytes = max_bytes
        self.retention_days = retention_days
        self._engine = connect(url)
        self._inserts = {
            table: Insert(table, self._engine.dialect) for table in (predictions, feedback)
        }
        self._rows: deque[Row] = deque()
        self._num_bytes = 0
        self._lock = threading.Lock()  # of _num_bytes; the deque needs none
        self._stopping = threading.Event()
        self._has_tables = False
        self._next_clean_up = 0.0
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def add(self, table: sa.Table, row: dict[str, Any]) -> None:
        """Remember a row; dropped and counted where the buffer is full.

        row: text, numbers, bytes and None, as a driver takes them.
        """
        size = _size(row)
        with self._lock:
            if self._num_bytes + size > self.max_bytes:
                metrics.STORE_DROPPED.inc()
                return
            self._num_bytes += size
        self._rows.append((table, row))

    def stop(self) -> None:
        """Write what the buffer holds, as far as the database takes it, and end the thread."""
        self._stopping.set()
        self._thread.join()
        if self._rows:
            metrics.STORE_DROPPED.inc(len(self._rows))
            logger.error("%d rows could not be written to the database", len(self._rows))
        self._engine.dispose()

    def _run(self) -> None:
        is_down = False
        while True:
            if len(self._rows) < MAX_ROWS:
                self._stopping.wait(WRITE_SECONDS)  # a few large writes cost less than many small
            is_last = self._stopping.is_set()
            try:
                if self._rows:
                    self._write_some()
                self._clean_up()
                is_down = False
            except SQLAlchemyError as error:
                metrics.STORE_ERRORS.inc()
                if not is_down:
                    # In the driver's words; SQLAlchemy's have all the rows.
                    reason = getattr(error, "orig", None) or error
                    logger.error("the database does not take rows; they wait: %s", reason)
                is_down = True
                self._stopping.wait(RETRY_SECONDS)
            if is_last and (is_down or not self._rows):
                return

    def _write_some(self) -> None:
        self._create_tables()
        rows, num_bytes = self._next_rows()
        with self._engine.begin() as connection:
            for table, insert in self._inserts.items():
                if values := [row for row_table, row in rows if row_table is table]:
                    insert(connection, values)
        for _ in rows:  # only now that they are safe
            self._rows.popleft()
        with self._lock:
            self._num_bytes -= num_bytes
        metrics.STORE_WRITTEN.inc(len(rows))

    def _next_rows(self) -> tuple[list[Row], int]:
        """The oldest rows, as many as one statement may have, and their size."""
        rows: list[Row] = []
        num_bytes = 0
        while len(rows) < min(len(self._rows), MAX_ROWS) and num_bytes < MAX_WRITE_BYTES:
            rows.append(self._rows[len(rows)])
            num_bytes += _size(rows[-1][1])
        return rows, num_bytes

    def _clean_up(self) -> None:
        """Once an hour, delete what is too old, and feedback whose prediction is."""
        now = time.monotonic()
        if not self.retention_days or now < self._next_clean_up:
            return
        self._create_tables()
        oldest = datetime.now(UTC) - timedelta(days=self.retention_days)
        old = sa.select(predictions.c.id).where(predictions.c.time < oldest)
        is_old = (feedback.c.time < oldest) | feedback.c.prediction_id.in_(old)
        with self._engine.begin() as connection:
            connection.execute(feedback.delete().where(is_old))
            connection.execute(predictions.delete().where(predictions.c.time < oldest))
        self._next_clean_up = now + CLEAN_UP_SECONDS

    def _create_tables(self) -> None:
        """Create what is missing; another worker may do so at the same moment."""
        if self._has_tables:
            return
        with self._engine.begin() as connection:
            for table in schema.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))
        self._has_tables = True


def labelled_images(engine: sa.Engine) -> Iterable[tuple[str, str, bytes]]:
    """Prediction id, true label and picture of all kept pictures; the newest feedback counts."""
    newest = sa.select(sa.func.max(feedback.c.number)).group_by(feedback.c.prediction_id)
    query = (
        sa.select(predictions.c.id, feedback.c.label, predictions.c.image)
        .join(feedback, feedback.c.prediction_id == predictions.c.id)
        .where(feedback.c.number.in_(newest), predictions.c.image.is_not(None))
    )
    with engine.connect() as connection:
        for row in connection.execution_options(stream_results=True).execute(query):
            yield row.id, row.label, row.image


def _size(row: dict[str, Any]) -> int:
    return ROW_BYTES + len(row.get("image") or b"")
