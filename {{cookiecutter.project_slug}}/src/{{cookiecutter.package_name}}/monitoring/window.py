"""A window of the stored predictions, read in bounded memory and without the right to write."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..errors import UserError
from ..serving.records import feedback, predictions
from .reference import DIGITS, FloatArray

READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=600000"


@dataclass(frozen=True)
class Window:
    """Predictions of one model since some time.

    Attributes:
        sample: as in reference.py, of all or of as many as were asked for, drawn at random. Of
            equal predictions, which are those of one image sent again and again, one counts.
        num_stored: how many there are. num_others: those of other models.
        num_labelled, num_correct: predictions with feedback, and those that it confirms.
    """

    sample: FloatArray
    num_stored: int
    num_others: int
    num_labelled: int
    num_correct: int


def read_window(url: str, model_sha256: str, since: datetime, max_images: int) -> Window:
    """Read the predictions of a model.

    Raises:
        UserError: the database cannot be read.
    """
    try:
        with _connect(url).connect() as connection:
            return _read(connection, model_sha256, predictions.c.time >= since, max_images)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        raise UserError(f"the database of DATABASE_URL cannot be read: {reason}") from None


def _connect(database_url: str) -> sa.Engine:
    """An engine that can neither write nor create the file that SQLite would."""
    url = sa.make_url(database_url)
    options: dict[str, Any] = {"connect_timeout": 10, "options": READ_ONLY}
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "").absolute().as_uri()
        url, options = url.set(database=file, query={"mode": "ro", "uri": "true"}), {}
    return sa.create_engine(
        url, connect_args=options, json_deserializer=orjson.loads, poolclass=sa.NullPool
    )


def _read(
    connection: sa.Connection, model: str, is_recent: sa.ColumnElement[bool], max_images: int
) -> Window:
    row, is_correct = predictions.c, predictions.c.label == feedback.c.label
    counts = sa.select(row.model_sha256, sa.func.count()).where(is_recent)
    counts = counts.group_by(row.model_sha256)
    by_model = {found[0]: found[1] for found in connection.execute(counts)}
    wanted = is_recent & (row.model_sha256 == model)
    # As text, since PostgreSQL's JSON cannot be compared.
    probabilities = sa.cast(row.probabilities, sa.Text)
    different = sa.select(probabilities, row.pixel_mean, row.pixel_std).where(wanted).distinct()
    # The database keeps no more rows than the limit while it sorts.
    drawn = sa.select(different.subquery()).order_by(sa.func.random()).limit(max_images)
    rows = connection.execution_options(yield_per=500).execute(drawn)
    sample = np.array([np.array([*orjson.loads(found[0]), *found[1:]]) for found in rows])
    sample = sample.round(DIGITS)
    newest = sa.select(sa.func.max(feedback.c.number)).group_by(feedback.c.prediction_id)
    labelled = (
        sa.select(sa.func.count(), sa.func.count().filter(is_correct))
        .join_from(feedback, predictions, row.id == feedback.c.prediction_id)
        .where(wanted, feedback.c.number.in_(newest))
    )
    num_stored = by_model.pop(model, 0)
    return Window(sample, num_stored, sum(by_model.values()), *connection.execute(labelled).one())
