"""What the service tells Prometheus. With several workers, any of them answers for all."""

import asyncio
import functools
import os
from typing import Any, ClassVar

from prometheus_client import REGISTRY as THIS_PROCESS
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)

SHARE_SECONDS = 0.25


class BufferedValue:
    """A number that the other workers see a moment later.

    The library writes each change to the file that they share. A prediction makes a dozen. Its
    lock is not needed: Python changes threads at calls and jumps only, and `inc` has none.
    """

    # The library's functions have no types.
    Shared = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    _all: ClassVar[list["BufferedValue"]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._shared = self.Shared(*arguments, **options)
        self._value: float = self._shared.get()
        self._all.append(self)

    def inc(self, amount: float) -> None:
        self._value += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._value = value

    def get(self) -> float:
        return self._value

    def get_exemplar(self) -> None:
        """None; the shared files have no place for exemplars."""

    @classmethod
    def share_all(cls) -> None:
        """Let the other workers see what this one has counted."""
        for value in cls._all:
            value._shared.set(value._value)


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = BufferedValue

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("http_requests", "Requests answered", ["path", "status"])
REQUEST_SECONDS = Histogram(
    "http_request_seconds", "From request to answer", ["path"], buckets=SECONDS
)
_phase_seconds = Histogram(
    "prediction_phase_seconds", "Where a prediction's time went", ["phase"], buckets=SECONDS
)
DECODE_SECONDS = _phase_seconds.labels("decode")
QUEUE_SECONDS = _phase_seconds.labels("queue")
INFERENCE_SECONDS = _phase_seconds.labels("inference")
BATCH_SIZE = Histogram(
    "prediction_batch_size", "Pictures in one inference", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_DEPTH = Gauge(
    "prediction_queue_depth", "Pictures that wait for the model", multiprocess_mode="livesum"
)
PREDICTIONS = Counter("predictions", "Predictions by class", ["label"])
CONFIDENCE = Histogram(
    "prediction_confidence",
    "Probability of the predicted class",
    buckets=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1),
)
REJECTED = Counter("requests_rejected", "Requests turned away", ["reason"])
MODEL_LOADED = Gauge(
    "model_loaded", "1 for the model that is served", ["sha256"], multiprocess_mode="max"
)
STORE_WRITTEN = Counter("store_rows_written", "Rows written to the database")
STORE_DROPPED = Counter("store_rows_dropped", "Rows lost because the buffer was full")
STORE_ERRORS = Counter("store_errors", "Writes that the database refused")


async def keep_sharing() -> None:
    """Call `share_all` from time to time, for as long as the service runs."""
    while True:
        await asyncio.sleep(SHARE_SECONDS)
        BufferedValue.share_all()


def render() -> bytes:
    """All metrics, of all workers, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(THIS_PROCESS)
    BufferedValue.share_all()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


@functools.lru_cache(maxsize=1024)
def _requests(path: str, status: int) -> tuple[Counter, Histogram]:
    """The two children, since looking them up costs as much as counting."""
    return REQUESTS.labels(path, status), REQUEST_SECONDS.labels(path)


def count_request(path: str, status: int, seconds: float) -> None:
    """Count a request that has been answered."""
    requests, duration = _requests(path, status)
    requests.inc()
    duration.observe(seconds)


@functools.lru_cache(maxsize=1024)
def _predictions(label: str) -> Counter:
    return PREDICTIONS.labels(label)


def count_prediction(label: str, confidence: float, decode: float, queue: float) -> None:
    """Count a prediction; its times are in seconds."""
    _predictions(label).inc()
    CONFIDENCE.observe(confidence)
    DECODE_SECONDS.observe(decode)
    QUEUE_SECONDS.observe(queue)
