"""Logs as one JSON object a line, which every log collector understands."""

import logging
from typing import Any

import orjson
import structlog

# What every line gets: those of libraries too.
PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,  # request_id, and what a route has bound
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", key="time"),
    structlog.processors.format_exc_info,
    structlog.processors.EventRenamer("message"),
]


def configure_logging() -> None:
    """Let structlog write JSON to standard output."""
    structlog.configure(
        processors=[*PROCESSORS, structlog.processors.JSONRenderer(orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def request_id() -> str:
    """The id of the request that is being handled, which is also that of its prediction."""
    identifier: str = structlog.contextvars.get_contextvars()["request_id"]
    return identifier


# The same lines for uvicorn, which logs by the standard library.
LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": [structlog.stdlib.add_logger_name, *PROCESSORS],
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        }
    },
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "root": {"handlers": ["stdout"], "level": "INFO"},
}
