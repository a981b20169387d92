"""`POST /v1/feedback`: the true label of an image that a prediction was made for."""

import asyncio
from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter, HTTPException, Request
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from ..deps import BatcherDep, FeedbackKey, StateDep
from ..images import read_body
from ..problems import describe_errors, problem_responses
from ..records import feedback as table
from ..schemas import Feedback, Status
from ..writer import WRITE_SECONDS

MAX_BODY_BYTES = 4096

router = APIRouter()


@router.post(
    "/v1/feedback",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Feedback.model_json_schema()}},
        }
    },
    responses=problem_responses(401, 403, 404, 408, 413, 422, 429, 503),
)
async def feedback(
    request: Request, state: StateDep, key: FeedbackKey, batcher: BatcherDep
) -> Status:
    """Say which label the image of a prediction should have."""
    # Read here and not by FastAPI, which would read all of it before it asks for the key.
    name = key.name if key else ""
    body = await read_body(request, state.bodies, MAX_BODY_BYTES, name)
    try:
        given = Feedback.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, describe_errors(error.errors())) from None
    classes = batcher.predictor.metadata.classes
    if given.label not in classes:
        raise HTTPException(422, f"label has to be one of {', '.join(classes)}")
    api_key = name or None  # NULL in the database
    look = partial(state.records.has_prediction, given.prediction_id, api_key)
    try:
        is_known = await asyncio.to_thread(look)
        if not is_known:  # another worker writes its rows a moment later
            await asyncio.sleep(4 * WRITE_SECONDS)
            is_known = await asyncio.to_thread(look)
    except SQLAlchemyError:
        raise HTTPException(503, "the database does not answer", {"Retry-After": "5"}) from None
    if not is_known:  # or another key's, which is not said
        raise HTTPException(404, "there is no prediction of this id")
    state.records.add(
        table,
        {
            "prediction_id": given.prediction_id,
            "time": datetime.now(UTC),
            "api_key": api_key,
            "label": given.label,
        },
    )
    return Status(status="accepted")
