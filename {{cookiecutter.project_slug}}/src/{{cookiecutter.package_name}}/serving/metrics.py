"""What the service tells Prometheus. With several workers, any of them answers for all."""

import os
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("http_requests", "Requests answered", ["path", "status"])
REQUEST_SECONDS = Histogram(
    "http_request_seconds", "From request to response", ["path"], buckets=SECONDS
)
PHASE_SECONDS = Histogram(
    "prediction_phase_seconds", "Where a prediction's time went", ["phase"], buckets=SECONDS
)
DECODE_SECONDS = PHASE_SECONDS.labels("decode")
QUEUE_SECONDS = PHASE_SECONDS.labels("queue")
INFERENCE_SECONDS = PHASE_SECONDS.labels("inference")
BATCH_SIZE = Histogram(
    "prediction_batch_size", "Images in one inference", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_DEPTH = Gauge(
    "prediction_queue_depth", "Images that wait for a prediction", multiprocess_mode="livesum"
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
RECORDS_WRITTEN = Counter("store_rows_written", "Rows written to the database")
RECORDS_DROPPED = Counter("store_rows_dropped", "Rows lost because the buffer was full")
RECORD_ERRORS = Counter("store_errors", "Writes that the database refused")


def count_request(path: str, status: int, seconds: float) -> None:
    """Count a request that has its response."""
    REQUESTS.labels(path, status).inc()
    REQUEST_SECONDS.labels(path).observe(seconds)


def render() -> bytes:
    """All metrics, of all workers, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    _forget_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_dead_workers(folder: Path) -> None:
    """Drop the gauges of workers that were killed: uvicorn replaces them without a word."""
    if os.name != "posix":  # elsewhere, signal 0 is not a question
        return
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # has no types
