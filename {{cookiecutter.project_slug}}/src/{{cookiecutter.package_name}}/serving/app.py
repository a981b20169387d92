"""Puts the service together. settings.py says what can be set, and __main__.py runs it."""

import contextlib
import gc
import sys
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from .logs import configure_logging
from .middleware import LoadSheddingMiddleware, ObservabilityMiddleware, SecurityHeadersMiddleware
from .problems import install_problem_handlers
from .routes import feedback, model, operations, page, predict
from .routes.page import STATIC
from .settings import Settings
from .state import AppState

# How long a thread may keep the interpreter (by default 5 ms): requests wait while another one
# writes rows to the database.
SWITCH_SECONDS = 0.0005


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service with these settings, or with those of the environment."""
    settings = settings or Settings()
    configure_logging()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AppState(settings) as app.state.serving:
            # What is there now stays: a garbage collection through it takes tens of milliseconds.
            gc.freeze()
            sys.setswitchinterval(SWITCH_SECONDS)
            yield

    app = FastAPI(
        title=__package__.partition(".")[0],
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to whatever host the client names
    )
    for module in (predict, feedback, model, operations, page):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    install_problem_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(ObservabilityMiddleware)
    app.add_middleware(LoadSheddingMiddleware, path=predict.PATH)
    app.add_middleware(SecurityHeadersMiddleware)
    return app
