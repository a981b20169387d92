"""Logs as one JSON object a line, which every log collector understands."""

import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import orjson

FLUSH_SECONDS = 0.5


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "root": {"handlers": ["stdout"], "level": "INFO"},
    "loggers": {"uvicorn.access": {"level": "WARNING"}},  # observe.py writes a richer one
}


class AccessLog:
    """Lines about requests, written twice a second: a write for each costs more than the line."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def add(self, **fields: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"time": now, "level": "info", "logger": "access"} | fields
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE).decode()
        with self._lock:
            self._lines.append(line)
            if self._timer is None:
                self._timer = threading.Timer(FLUSH_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what there is."""
        with self._lock:
            lines, self._lines, self._timer = self._lines, [], None
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
