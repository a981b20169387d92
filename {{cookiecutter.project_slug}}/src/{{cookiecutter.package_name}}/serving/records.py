"""The tables that the service writes: predictions and feedback, in SQLite or PostgreSQL."""

from collections.abc import Iterable
from typing import Any

import orjson
import sqlalchemy as sa

metadata = sa.MetaData()

# So that a server that accepts and never answers is an error: to connect, and for each statement.
POSTGRESQL = {"connect_timeout": 5, "options": "-c statement_timeout=10000"}

predictions = sa.Table(
    "predictions",
    metadata,
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
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("prediction_id", sa.String(32), nullable=False, index=True),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("api_key", sa.String, nullable=True),
    sa.Column("label", sa.String, nullable=False),
)


def connect(url: str) -> sa.Engine:
    """An engine for `url`; several processes may write to the same SQLite file."""
    # orjson writes ten probabilities in a twentieth of json's time, and requests wait meanwhile.
    engine = sa.create_engine(
        url,
        pool_pre_ping=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        connect_args=POSTGRESQL if url.startswith("postgresql") else {},
    )
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def set_up(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA busy_timeout = 5000")

    return engine


def labelled_images(engine: sa.Engine) -> Iterable[Any]:
    """All kept images with feedback: id, predicted, probabilities, label, api_key and image.

    `label` is what the newest feedback says, and `api_key` whose key it was.
    """
    newest = sa.select(sa.func.max(feedback.c.number)).group_by(feedback.c.prediction_id)
    query = (
        sa.select(
            predictions.c.id,
            predictions.c.label.label("predicted"),
            predictions.c.probabilities,
            predictions.c.image,
            feedback.c.label,
            feedback.c.api_key,
        )
        .join(feedback, feedback.c.prediction_id == predictions.c.id)
        .where(feedback.c.number.in_(newest), predictions.c.image.is_not(None))
        .order_by(predictions.c.id)
    )
    with engine.connect() as connection:
        yield from connection.execution_options(stream_results=True).execute(query)
