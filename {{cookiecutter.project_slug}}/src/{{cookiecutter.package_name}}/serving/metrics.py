"""What the service tells Prometheus. With several workers, any of them answers for all."""

import functools
import os

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

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # The library asks the system for the process's number at every count, in case of a fork. No
    # worker forks, and each prediction is counted ten times.
    process_id = functools.partial(int, os.getpid())
    values.ValueClass = values.MultiProcessValue(process_id)  # type: ignore[no-untyped-call]

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


def render() -> bytes:
    """All metrics, of all workers, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(THIS_PROCESS)
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
