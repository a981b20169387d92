"""The HTTP service; `make serve` starts it, and settings.py says what can be set."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from ..preprocess import ImageError, decode_image
from .predictor import ModelError, Predictor
from .problems import install_problem_handlers
from .schemas import (
    ClassProbability,
    Latency,
    ModelInfo,
    ModelReference,
    Prediction,
    Problem,
    Status,
)
from .settings import Settings
from .uploads import BodyLimit, read_picture

STATIC = Path(__file__).parent / "static"

logger = logging.getLogger(__name__)


class Service:
    """What all requests share: the settings, and the model once there is one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.predictor: Predictor | None = None
        self.reason = "no model has been loaded yet"

    async def load_model(self) -> None:
        """Try to load the model; where it cannot be served, remember why."""
        try:
            self.predictor = await run_in_threadpool(
                Predictor.load, self.settings.model_dir, self.settings.num_threads
            )
        except ModelError as error:
            if str(error) != self.reason:
                logger.warning("Serving without a model: %s", error)
            self.reason = str(error)

    async def wait_for_model(self) -> None:
        """Load the model as soon as it is there, so that it may come later than the service."""
        while self.predictor is None:
            await asyncio.sleep(self.settings.model_poll_seconds)
            await self.load_model()


def get_service(request: Request) -> Service:
    """What `create_app` put together."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def get_predictor(service: ServiceDep) -> Predictor:
    """The loaded model; without one, the request is answered with 503."""
    if service.predictor is None:
        raise HTTPException(503, service.reason, {"Retry-After": "5"})
    return service.predictor


PredictorDep = Annotated[Predictor, Depends(get_predictor)]

PICTURE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": PICTURE}, "required": ["file"]}
PREDICT_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": PICTURE},
            "application/octet-stream": {"schema": PICTURE},
            "multipart/form-data": {"schema": FORM},
        },
    }
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in the OpenAPI document which errors an operation may answer with."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def create_app(settings: Settings) -> FastAPI:
    """Put the service together."""
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.load_model()
        waiting = asyncio.create_task(service.wait_for_model())
        yield
        waiting.cancel()

    app = FastAPI(title=__package__.partition(".")[0], version="1", lifespan=lifespan)
    app.state.service = service
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    install_problem_handlers(app)

    @app.post("/v1/predict", openapi_extra=PREDICT_OPENAPI, responses=problems(413, 415, 422, 503))
    async def predict(request: Request, service: ServiceDep, predictor: PredictorDep) -> Prediction:
        """Classify a PNG, JPEG or WebP picture."""
        picture = await read_picture(request)
        try:
            return await run_in_threadpool(
                classify, picture, predictor, service.settings.max_pixels
            )
        except ImageError as error:
            raise HTTPException(422, str(error)) from None

    @app.get("/v1/model", responses=problems(503))
    async def model(predictor: PredictorDep) -> ModelInfo:
        """The model that answers, and how well it did on the test set."""
        return ModelInfo.of(predictor.metadata)

    @app.get("/healthz")
    async def healthz() -> Status:
        """Whether the process is alive."""
        return Status(status="ok")

    @app.get("/readyz", responses=problems(503))
    async def readyz(predictor: PredictorDep) -> Status:
        """Whether a model is loaded, so that predictions can be asked for."""
        return Status(status="ready")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def classify(picture: bytes, predictor: Predictor, max_pixels: int) -> Prediction:
    """Decode one picture and predict its class."""
    start = time.perf_counter()
    pixels = decode_image(picture, predictor.metadata.image, max_pixels)
    decoded = time.perf_counter()
    probabilities = predictor.predict(pixels[None])[0]
    end = time.perf_counter()
    latency = Latency(
        decode=1000 * (decoded - start),
        inference=1000 * (end - decoded),
        total=1000 * (end - start),
    )
    return make_prediction(probabilities, predictor, latency)


def make_prediction(
    probabilities: npt.NDArray[np.float32], predictor: Predictor, latency: Latency
) -> Prediction:
    """Put the probabilities of one picture, (num_classes,), into words."""
    metadata = predictor.metadata
    order = np.argsort(-probabilities, kind="stable")
    ranking = [
        ClassProbability(label=metadata.classes[index], probability=float(probabilities[index]))
        for index in order
    ]
    return Prediction(
        id=uuid.uuid4().hex,
        label=ranking[0].label,
        class_index=int(order[0]),
        probabilities=ranking,
        model=ModelReference(name=metadata.model, sha256=metadata.sha256),
        latency_ms=latency,
    )


app = create_app(Settings())
