"""Request id, trace, access log, metrics and security headers around every answer."""

import random
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import metrics
from .logs import AccessLog

# https://www.w3.org/TR/trace-context: version, trace id, parent id, flags
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
# Paths that may be a metric's label. Others are one label, however many a scanner tries.
PATHS = {"/", "/v1/predict", "/v1/feedback", "/v1/model", "/v1/samples"}
QUIET_PATHS = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds, and not logged

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Observe:
    """ASGI middleware that has to be the outermost, so that it sees every answer there is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.access_log = AccessLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            self.access_log.flush()  # the server ends
            return
        start = time.perf_counter()
        scope["request_id"] = request_id = new_id()
        status = 0  # stays so where the client hangs up before there is an answer

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], own, *SECURITY_HEADERS]
            await send(message)

        try:
            await self.app(scope, receive, observed_send)
        finally:
            status = scope.get("status", status)
            self._record(scope, request_id, status, time.perf_counter() - start)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        path = scope["path"]
        if path in QUIET_PATHS:
            return
        label = path if path in PATHS else "other"
        metrics.count_request(label, status, seconds)
        if not scope.get("is_logged", True):
            return
        self.access_log.add(
            message=f"{scope['method']} {path}",
            status=status,
            milliseconds=round(1000 * seconds, 3),
            request_id=request_id,
            **trace_of(scope),
            **scope.get("log_fields", {}),
        )


def trace_of(scope: Scope) -> dict[str, Any]:
    """Trace id and parent span id of a request that belongs to a W3C trace."""
    for name, value in scope["headers"]:
        if name == b"traceparent" and (match := TRACEPARENT.fullmatch(value)):
            trace_id, parent_id = match.groups()
            return {"trace_id": trace_id.decode(), "parent_id": parent_id.decode()}
    return {}


def new_id() -> str:
    """A UUID of version 7 in hex (RFC 9562): in the order of time, which databases like."""
    value = (time.time_ns() // 1_000_000) << 80 | random.getrandbits(80)
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0x3 << 62) | 2 << 62  # variant
    return f"{value:032x}"
