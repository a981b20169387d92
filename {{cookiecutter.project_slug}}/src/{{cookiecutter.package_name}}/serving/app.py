"""The HTTP service: its routes, and how it starts and stops. settings.py says what can be set."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse, Response

from . import metrics, store
from .batching import Batcher
from .keys import ApiKey, Scope
from .observe import Observe
from .predict import PATH, FastPath, predict
from .problems import install_problem_handlers
from .samples import load_samples
from .schemas import Feedback, ModelInfo, Prediction, Problem, Sample, Status
from .service import Service
from .settings import Settings
from .uploads import BodyLimit

GC_THRESHOLD = 50_000  # new objects between garbage collections, instead of some hundreds
STATIC = Path(__file__).parent / "static"

PICTURE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": PICTURE}, "required": ["file"]}
PREDICT_OPENAPI: dict[str, Any] = {
    "parameters": [
        {
            "name": "keep_image",
            "in": "query",
            "description": "Store the picture with the prediction, so that feedback can use it",
            "schema": {"type": "boolean", "default": False},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": PICTURE},
            "application/octet-stream": {"schema": PICTURE},
            "multipart/form-data": {"schema": FORM},
        },
    },
}


def get_service(request: Request) -> Service:
    """What all requests share."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def get_batcher(service: ServiceDep) -> Batcher:
    """The loaded model; without one, the request is answered with 503."""
    return service.ready_batcher()


BatcherDep = Annotated[Batcher, Depends(get_batcher)]


# For the OpenAPI document; `Service.authorize` does the work.
api_key = HTTPBearer(
    scheme_name="api_key", description="Not asked for in development.", auto_error=False
)


class Allowed:
    """A dependency: the key of a request, if it has this scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __call__(
        self,
        request: Request,
        service: ServiceDep,
        _: Annotated[HTTPAuthorizationCredentials | None, Security(api_key)],
    ) -> ApiKey | None:
        return service.authorize(request.scope, self.scope)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in the OpenAPI document which errors an operation may answer with."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def create_app(settings: Settings) -> FastAPI:
    """Put the service together."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(settings)
        await service.load_model()
        tasks = [
            asyncio.create_task(service.wait_for_model()),
            asyncio.create_task(metrics.keep_sharing()),
        ]
        # What is there now stays. Without this, rows that wait for the database set off a garbage
        # collection through all of it, and every request waits for 40 ms. Requests on their way are
        # freed without any: looking through hundreds of them again and again finds nothing.
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title=__package__.partition(".")[0],
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    install_problem_handlers(app)
    app.add_api_route(
        PATH,
        predict,
        methods=["POST"],
        dependencies=[Security(api_key)],
        response_model=Prediction,
        openapi_extra=PREDICT_OPENAPI,
        responses=problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
    )

    @app.post("/v1/feedback", status_code=202, responses=problems(401, 403, 408, 422, 429, 503))
    async def feedback(
        body: Feedback,
        service: ServiceDep,
        batcher: BatcherDep,
        key: Annotated[ApiKey | None, Depends(Allowed("feedback"))],
    ) -> Status:
        """Say what the picture of a prediction really shows."""
        classes = batcher.predictor.metadata.classes
        if body.label not in classes:
            raise HTTPException(422, f"label has to be one of {', '.join(classes)}")
        row = {
            "prediction_id": body.prediction_id,
            "time": store.as_text(datetime.now(UTC)),
            "api_key": key and key.name,
            "label": body.label,
        }
        service.store.add(store.feedback, row)
        return Status(status="accepted")

    @app.get(
        "/v1/model",
        responses=problems(401, 403, 429, 503),
        dependencies=[Depends(Allowed("predict"))],
    )
    async def model(batcher: BatcherDep) -> ModelInfo:
        """The model that answers, and how well it did on the test set."""
        return ModelInfo.of(batcher.predictor.metadata)

    @app.get(
        "/v1/samples",
        responses=problems(401, 403, 429),
        dependencies=[Depends(Allowed("predict"))],
    )
    def samples() -> list[Sample]:
        """Some pictures of the test set to try the model with; none where it came without."""
        return load_samples(settings.model_dir)

    @app.get("/healthz")
    async def healthz() -> Status:
        """Whether the process is alive."""
        return Status(status="ok")

    @app.get("/readyz", responses=problems(503))
    async def readyz(batcher: BatcherDep) -> Status:
        """Whether a model is loaded, so that predictions can be asked for."""
        return Status(status="ready")

    @app.get("/metrics", include_in_schema=False, dependencies=[Depends(Allowed("admin"))])
    def prometheus() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


app = Observe(FastPath(create_app(Settings())))
