"""`POST /v1/predict`: an image in, the probabilities of its classes out."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from structlog.contextvars import bind_contextvars

from ...metadata import ModelMetadata
from ...preprocess import ImageError
from .. import metrics
from ..batching import Classification
from ..deps import PredictKey, StateDep
from ..images import read_image
from ..logs import request_id
from ..problems import overloaded, problems
from ..records import predictions
from ..schemas import ClassProbability, Latency, ModelReference, Prediction

PATH = "/v1/predict"
IMAGE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": IMAGE}, "required": ["file"]}
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "image/*": {"schema": IMAGE},
        "application/octet-stream": {"schema": IMAGE},
        "multipart/form-data": {"schema": FORM},
    },
}

router = APIRouter()


@router.post(
    PATH,
    openapi_extra={"requestBody": REQUEST_BODY},
    responses=problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
)
async def predict(
    request: Request,
    state: StateDep,
    key: PredictKey,
    keep_image: Annotated[bool, Query(description="Store the image, for feedback on it")] = False,
) -> Prediction:
    """Classify a PNG, JPEG or WebP image."""
    settings, batcher = state.settings, state.batcher
    metadata = batcher.predictor.metadata
    image = await read_image(request, settings.max_body_bytes, settings.request_timeout_seconds)
    if state.is_overloaded:  # by now; before the body came, the middleware has looked
        raise overloaded()
    start = time.perf_counter()
    try:
        with state.counted_as_waiting():
            async with asyncio.timeout(settings.request_timeout_seconds):
                pixels = await state.decoder.decode(image, metadata.image)
                decode_seconds = time.perf_counter() - start
                result = await batcher.classify(pixels)
    except ImageError as error:
        raise HTTPException(422, str(error)) from None
    except TimeoutError:
        metrics.REJECTED.labels("timeout").inc()
        raise overloaded() from None
    latency = Latency.of_seconds(
        decode=decode_seconds,
        queue=result.queue_seconds,
        inference=result.inference_seconds,
        total=time.perf_counter() - start,
    )
    prediction = describe(result, metadata, latency)
    confidence = prediction.probabilities[0].probability
    metrics.count_prediction(
        prediction.label,
        confidence,
        decode_seconds=decode_seconds,
        queue_seconds=result.queue_seconds,
    )
    bind_contextvars(  # for the line of this request in the log
        label=prediction.label,
        confidence=round(confidence, 4),
        model=metadata.sha256[:12],
        key=key and key.name,
    )
    is_kept = settings.keep_images == "always" or (settings.keep_images == "asked" and keep_image)
    state.records.add(
        predictions,
        {
            "id": prediction.id,
            "time": datetime.now(UTC),
            "model_sha256": metadata.sha256,
            "api_key": key and key.name,
            "label": prediction.label,
            "probabilities": result.probabilities,
            "pixel_mean": float(pixels.mean()),
            "pixel_std": float(pixels.std()),
            "num_bytes": len(image),
            "image": image if is_kept else None,
        },
    )
    return prediction


def describe(result: Classification, metadata: ModelMetadata, latency: Latency) -> Prediction:
    """The response: every class, the most probable first."""
    ranking = sorted(
        zip(result.probabilities, range(len(metadata.classes)), strict=True), reverse=True
    )
    return Prediction(
        id=request_id(),
        label=metadata.classes[ranking[0][1]],
        class_index=ranking[0][1],
        probabilities=[
            ClassProbability(label=metadata.classes[index], probability=probability)
            for probability, index in ranking
        ],
        model=ModelReference(name=metadata.model, sha256=metadata.sha256),
        latency_ms=latency,
    )
