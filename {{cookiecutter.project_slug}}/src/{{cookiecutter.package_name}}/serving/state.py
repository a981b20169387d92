"""What all requests of a worker share: the model once there is one, the keys, the records."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator

from . import metrics
from .batching import Batcher
from .decoder import Decoder
from .images import BodyLimits
from .keys import KeyRing
from .limits import RateLimiter
from .predictor import ModelError, Predictor
from .settings import Settings
from .writer import RecordWriter

logger = logging.getLogger(__name__)

KEY_SHARE = 7 / 8  # of the queue: more of it one key cannot have


class AppState:
    """An async context manager: entered when a worker starts, left when it stops.

    Attributes:
        batcher: runs the model; None until one is loaded.
        no_model_reason: why none is.
        num_waiting: predictions that have been asked for, body and all, and have no response yet,
            by the name of the API key.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = KeyRing(settings.api_keys_file)
        self.limiter = RateLimiter(settings.shared_folder and settings.shared_folder / "rates")
        self.bodies = BodyLimits(
            settings.max_body_bytes,
            settings.request_timeout_seconds,
            settings.max_total_body_bytes,
        )
        self.decoder = Decoder(settings.max_pixels)
        self.records = RecordWriter(
            settings.database_url, settings.max_buffered_bytes, settings.retention_days
        )
        self.num_waiting = Counter[str]()
        self.batcher: Batcher | None = None
        self.no_model_reason = "no model has been loaded yet"

    async def __aenter__(self) -> "AppState":
        if self.settings.environment == "development":
            logger.warning(
                "API KEYS ARE OFF: everybody who reaches this port may use the service. "
                "Set ENVIRONMENT=production to ask for keys."
            )
        self.records.start()
        await self._load_model()
        self._loading = asyncio.create_task(self._wait_for_model())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._loading.cancel()
        await asyncio.gather(self._loading, return_exceptions=True)
        if self.batcher:
            await self.batcher.stop()
        await asyncio.to_thread(self.records.stop)

    @property
    def is_nearly_full(self) -> bool:
        """Whether the queue is so full that it may be too full for a key."""
        return self.num_waiting.total() >= KEY_SHARE * self.settings.max_queue_size

    def is_overloaded_by(self, key: str) -> bool:
        """Whether the queue is full, or nearly and of this key alone: others have a part of it."""
        size = self.settings.max_queue_size
        is_full = self.num_waiting.total() >= size
        return is_full or (bool(key) and self.num_waiting[key] >= KEY_SHARE * size)

    @contextlib.contextmanager
    def counted_as_waiting(self, key: str, num_bytes: int) -> Iterator[None]:
        """A prediction, with its body, is part of the queue for as long as the block lasts."""
        self.num_waiting[key] += 1
        self.bodies.add(key, num_bytes)
        metrics.QUEUE_DEPTH.inc()
        try:
            yield
        finally:
            self.num_waiting[key] -= 1
            self.bodies.add(key, -num_bytes)
            metrics.QUEUE_DEPTH.dec()

    async def _load_model(self) -> None:
        """Try to load the model; if it cannot be served, keep the reason."""
        settings = self.settings
        try:
            predictor = await asyncio.to_thread(
                Predictor.load, settings.model_dir, settings.num_threads
            )
        except (ModelError, OSError) as error:  # whatever it was, it may be mended
            if str(error) != self.no_model_reason:
                logger.warning("Serving without a model: %s", error)
            self.no_model_reason = str(error)
        else:
            self.batcher = Batcher(predictor, settings.max_batch_size)
            metrics.MODEL_LOADED.labels(predictor.metadata.sha256).set(1)

    async def _wait_for_model(self) -> None:
        """Load the model as soon as it is there, so that it may come later than the service."""
        while self.batcher is None:
            await asyncio.sleep(self.settings.model_poll_seconds)
            await self._load_model()
