"""What all requests share: the settings, the model once there is one, keys and store."""

import asyncio
import logging
from collections.abc import Iterable

from fastapi import HTTPException
from starlette.types import Scope as AsgiScope

from . import metrics
from .batching import Batcher
from .keys import ApiKey, KeyFile, RateLimiter, Scope
from .predictor import ModelError, Predictor
from .settings import Settings
from .store import Store

logger = logging.getLogger(__name__)


class Service:
    """Made when the server starts; `stop` finishes what is in flight."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reason = "no model has been loaded yet"
        self.batcher: Batcher | None = None
        self.store = Store(
            settings.database_url, settings.max_buffered_bytes, settings.retention_days
        )
        self._keys = KeyFile(settings.api_keys_file)
        self._limiter = RateLimiter(settings.shared_folder and settings.shared_folder / "rates")
        if settings.environment == "development":
            logger.warning(
                "API KEYS ARE OFF: everybody who reaches this port may use the service. "
                "Set ENVIRONMENT=production to ask for keys."
            )

    async def load_model(self) -> None:
        """Try to load the model; where it cannot be served, remember why."""
        settings = self.settings
        try:
            predictor = await asyncio.to_thread(
                Predictor.load, settings.model_dir, settings.num_threads
            )
        except ModelError as error:
            if str(error) != self.reason:
                logger.warning("Serving without a model: %s", error)
            self.reason = str(error)
        else:
            self.batcher = Batcher(predictor, settings.max_batch_size, settings.max_pixels)
            metrics.MODEL_LOADED.labels(predictor.metadata.sha256).set(1)

    async def wait_for_model(self) -> None:
        """Load the model as soon as it is there, so that it may come later than the service."""
        while self.batcher is None:
            await asyncio.sleep(self.settings.model_poll_seconds)
            await self.load_model()

    def stop(self) -> None:
        """Answer what is queued, and write what is buffered."""
        if self.batcher:
            self.batcher.stop()
        self.store.stop()

    def ready_batcher(self) -> Batcher:
        """The model's batcher.

        Raises:
            HTTPException: 503 as long as there is no model.
        """
        if self.batcher is None:
            raise HTTPException(503, self.reason, {"Retry-After": "5"})
        return self.batcher

    def authorize(self, scope: AsgiScope, wanted: Scope) -> ApiKey | None:
        """The key of a request that may do what it wants; None where no keys are asked for.

        Raises:
            HTTPException: 401 without a valid key, 403 for one without this scope, 429 for one
                that asks too often.
        """
        if self.settings.environment == "development":
            return None
        key = self._keys.find(bearer_token(scope["headers"]))
        if key is None:
            metrics.REJECTED.labels("unauthorized").inc()
            raise HTTPException(
                401,
                "send a valid API key as `Authorization: Bearer …`",
                {"WWW-Authenticate": "Bearer"},
            )
        if wanted not in key.scopes:
            metrics.REJECTED.labels("forbidden").inc()
            raise HTTPException(403, f"the key {key.name} does not have the scope {wanted}")
        if wait := self._limiter.wait_seconds(key):
            metrics.REJECTED.labels("rate").inc()
            raise HTTPException(
                429,
                f"the key {key.name} may send {key.rate:g} requests per second",
                {"Retry-After": str(int(wait) + 1)},
            )
        return key


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The token in the `Authorization` header of a request, or an empty text."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""
