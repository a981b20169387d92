"""`POST /v1/predict`: an image in, the probabilities of its classes out."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from ...metadata import ModelMetadata
from ...preprocess import ImageError
from .. import metrics
from ..batching import Classification
from ..deps import RequireKey, get_batcher, get_state
from ..images import counted_bytes, read_image
from ..logs import request_id
from ..problems import REJECTION_SECONDS, overloaded, problem_responses
from ..records import predictions
from ..schemas import PREDICT_REQUEST, Prediction

PATH = "/v1/predict"
require_key = RequireKey("predict")
to_boolean = TypeAdapter(bool).validate_python


class PlainRoute(APIRoute):
    """A route whose function takes the request and makes the response itself.

    FastAPI's dependencies and response models take a fifth of the throughput from a service whose
    model is as small as this one, so they are left to the other routes
    (docs/decisions/service-on-the-stock-stack.md).
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function as it is."""
        return self.endpoint


router = APIRouter(route_class=PlainRoute)


@router.post(
    PATH,
    response_model=Prediction,
    openapi_extra=PREDICT_REQUEST,
    responses=problem_responses(400, 401, 403, 408, 413, 415, 422, 429, 503),
)
async def predict(request: Request) -> Response:
    """Classify a PNG, JPEG or WebP image."""
    state = await get_state(request)
    key = await require_key(request)
    settings, batcher = state.settings, await get_batcher(state)
    keep_image = _keep_image(request, settings.keep_images)
    name = key.name if key else ""
    image = await read_image(request, state.bodies, state.decoder, name)
    if state.is_overloaded_by(name):  # it may have filled since middleware.py looked
        metrics.REJECTED.labels("overload").inc()
        del image  # its bytes are counted no longer
        await asyncio.sleep(REJECTION_SECONDS)
        raise overloaded()
    start = time.perf_counter()
    try:
        with state.counted_as_waiting(name, counted_bytes(image)):
            async with asyncio.timeout(settings.request_timeout_seconds):
                # preprocess.py's decode_image, as in training; large ones on a thread (decoder.py)
                pixels = await state.decoder.decode(image, batcher.predictor.metadata.image, name)
                decode_seconds = time.perf_counter() - start
                # In one batch with the other images that wait (batching.py, predictor.py)
                result = await batcher.classify(pixels)
    except ImageError as error:
        raise HTTPException(422, str(error)) from None
    except TimeoutError:
        metrics.REJECTED.labels("timeout").inc()
        raise overloaded() from None
    prediction = _describe(result, batcher.predictor.metadata)
    prediction["latency_ms"] = _milliseconds(
        decode=decode_seconds,
        queue=result.queue_seconds,
        inference=result.inference_seconds,
        total=time.perf_counter() - start,
    )
    _observe(prediction)
    state.records.add(predictions, _row(prediction, result, name, image, keep_image))
    return Response(orjson.dumps(prediction), media_type="application/json")


def _keep_image(request: Request, keep_images: str) -> bool:
    """Whether the image is to be stored.

    Raises:
        HTTPException: 422 for a `keep_image` that is no boolean.
    """
    try:
        asked = to_boolean(request.query_params.get("keep_image", False))
    except ValidationError as error:
        raise HTTPException(422, f"keep_image: {error.errors()[0]['msg'].lower()}") from None
    return keep_images == "always" or (keep_images == "asked" and asked)


def _describe(result: Classification, metadata: ModelMetadata) -> dict[str, Any]:
    """The response, but for its times: every class, the most probable first."""
    probabilities = result.probabilities
    ranking = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
    return {
        "id": request_id(),
        "label": metadata.classes[ranking[0]],
        "class_index": ranking[0],
        "probabilities": [
            {"label": metadata.classes[index], "probability": probabilities[index]}
            for index in ranking
        ],
        "model": {"name": metadata.model, "sha256": metadata.sha256},
    }


def _milliseconds(**seconds: float) -> dict[str, float]:
    return {phase: round(1000 * value, 3) for phase, value in seconds.items()}


def _row(
    prediction: dict[str, Any], result: Classification, key: str, image: bytes, keep_image: bool
) -> dict[str, Any]:
    """What the database gets of a prediction."""
    return {
        "id": prediction["id"],
        "time": datetime.now(UTC),
        "model_sha256": prediction["model"]["sha256"],
        "api_key": key or None,
        "label": prediction["label"],
        "probabilities": result.probabilities,
        "pixel_mean": result.pixel_mean,
        "pixel_std": result.pixel_std,
        "num_bytes": len(image),
        "image": image if keep_image else None,
    }


def _observe(prediction: dict[str, Any]) -> None:
    """Count the prediction, and say it in the log's line of this request."""
    confidence = prediction["probabilities"][0]["probability"]
    latency = prediction["latency_ms"]
    metrics.PREDICTIONS.labels(prediction["label"]).inc()
    metrics.CONFIDENCE.observe(confidence)
    metrics.DECODE_SECONDS.observe(latency["decode"] / 1000)
    metrics.QUEUE_SECONDS.observe(latency["queue"] / 1000)
    bind_contextvars(
        label=prediction["label"],
        confidence=round(confidence, 4),
        model=prediction["model"]["sha256"][:12],
    )
