"""`POST /v1/predict`: from the request to the answer."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..metadata import ModelMetadata
from ..preprocess import ImageError
from . import metrics
from .batching import Classified
from .keys import ApiKey
from .problems import UNEXPECTED, problem_response
from .service import Service
from .store import as_text, predictions
from .uploads import read_picture

logger = logging.getLogger(__name__)

PATH = "/v1/predict"
# A client that tries again at once, on and on, takes the time that answers need. It gets its
# refusal a moment later, which costs little here and slows it down.
REJECTION_SECONDS = 0.5
OVERLOADED = problem_response(503, "the service is busy: try again", {"Retry-After": "1"})


class FastPath:
    """ASGI middleware that answers `POST /v1/predict` itself and hands everything else on.

    The way through FastAPI's layers costs about as much as decoding a small picture. FastAPI
    still has the route, for the OpenAPI document and for other methods.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        scope["app"] = self.app
        try:
            # Before anything else: while there is too much to do, no has to cost next to nothing.
            if is_overloaded(self.app.state.service):
                response = await refuse(scope)
            else:
                response = await predict(Request(scope, receive, send))
        except HTTPException as error:
            response = problem_response(error.status_code, error.detail, error.headers)
        except ClientDisconnect:
            return
        except Exception:
            logger.exception("an unexpected error in %s", PATH)
            response = problem_response(500, UNEXPECTED)
        await response(scope, receive, send)


async def predict(request: Request) -> Response:
    """Classify a PNG, JPEG or WebP picture."""
    start = time.perf_counter()
    service: Service = request.app.state.service
    key = service.authorize(request.scope, "predict")
    batcher = service.ready_batcher()
    picture = await read_picture(request, service.settings.max_body_bytes)
    if is_overloaded(service):  # by now
        del picture  # not to be held until the answer is sent
        return await refuse(request.scope)
    try:
        deadline = start + service.settings.request_timeout_seconds
        result = await batcher.classify(picture, deadline)
    except ImageError as error:
        raise HTTPException(422, str(error)) from None
    except TimeoutError:
        metrics.REJECTED.labels("timeout").inc()
        return OVERLOADED
    metadata = batcher.predictor.metadata
    prediction = _prediction(request.scope["request_id"], result, metadata, start)
    _remember(service, request, prediction, result, picture, key)
    return Response(orjson.dumps(prediction), media_type="application/json")


def is_overloaded(service: Service) -> bool:
    """Whether as many requests wait as may."""
    batcher = service.batcher
    return batcher is not None and batcher.num_waiting >= service.settings.max_queue_size


async def refuse(scope: Scope) -> Response:
    """The answer to one request too many; it leaves no line in the log."""
    metrics.REJECTED.labels("overload").inc()
    scope["is_logged"] = False
    await asyncio.sleep(REJECTION_SECONDS)
    return OVERLOADED


def _prediction(
    request_id: str, result: Classified, metadata: ModelMetadata, start: float
) -> dict[str, Any]:
    """The answer, as `schemas.Prediction` describes it."""
    values = result.probabilities
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
    return {
        "id": request_id,
        "label": metadata.classes[order[0]],
        "class_index": order[0],
        "probabilities": [
            {"label": metadata.classes[index], "probability": values[index]} for index in order
        ],
        "model": {"name": metadata.model, "sha256": metadata.sha256},
        "latency_ms": {
            "decode": round(1000 * result.decode, 3),
            "queue": round(1000 * result.queue, 3),
            "inference": round(1000 * result.inference, 3),
            "total": round(1000 * (time.perf_counter() - start), 3),
        },
    }


def _remember(
    service: Service,
    request: Request,
    prediction: dict[str, Any],
    result: Classified,
    picture: bytes,
    key: ApiKey | None,
) -> None:
    confidence = prediction["probabilities"][0]["probability"]
    metrics.count_prediction(prediction["label"], confidence, result.decode, result.queue)
    request.scope["log_fields"] = {
        "label": prediction["label"],
        "confidence": round(confidence, 4),
        "model": prediction["model"]["sha256"][:12],
        "key": key and key.name,
    }
    keep = service.settings.keep_images
    asked = b"keep_image=true" in request.scope["query_string"]
    row = {
        "id": prediction["id"],
        "time": as_text(datetime.now(UTC)),
        "model_sha256": prediction["model"]["sha256"],
        "api_key": key and key.name,
        "label": prediction["label"],
        "probabilities": orjson.dumps(result.probabilities).decode(),
        "pixel_mean": result.pixel_mean,
        "pixel_std": result.pixel_std,
        "num_bytes": len(picture),
        "image": picture if keep == "always" or (keep == "asked" and asked) else None,
    }
    service.store.add(predictions, row)
