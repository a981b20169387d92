"""ASGI middleware: what happens around requests, whichever route they take."""

import asyncio
import re
import secrets
import time

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from . import metrics
from .problems import CLIENT_CLOSED_REQUEST, REJECTION_SECONDS, overloaded, problem_response

# https://www.w3.org/TR/trace-context: version, trace id, parent id, flags;
# of which no version is ff, and no id all zeros.
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}"
)
QUIET_PATHS = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds
QUIET_STATUSES = {200, 503}  # of those; neither logged nor counted
MAX_LOGGED_PATH = 200  # characters
UNEXPECTED = "something went wrong here; it has been logged"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class ObservabilityMiddleware:
    """Gives each request an id, counts it, and writes its line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log = structlog.get_logger().bind(logger="access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = secrets.token_hex(16)  # so that nobody can guess another's
        clear_contextvars()  # of the request before it on this connection
        bind_contextvars(request_id=request_id)
        status: int | None = None  # of the response, once it has begun

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            if status is None:  # Starlette's own response would have neither the id nor headers
                await problem_response(500, UNEXPECTED)(scope, receive, send_with_id)
            raise
        finally:
            if scope["path"] not in QUIET_PATHS or status not in QUIET_STATUSES:
                seconds = time.perf_counter() - start
                self._log_and_count(scope, status or CLIENT_CLOSED_REQUEST, seconds)

    def _log_and_count(self, scope: Scope, status: int, seconds: float) -> None:
        # The path as the route has it: however many paths a scanner tries, they are one label.
        route = scope.get("route")
        metrics.count_request(route.path if route else "other", status, seconds)
        self.log.info(
            f"{scope['method']} {scope['path'][:MAX_LOGGED_PATH]}",
            status=status,
            milliseconds=round(1000 * seconds, 3),
            **trace_of(scope),
        )


def trace_of(scope: Scope) -> dict[str, str]:
    """Trace id and parent span id of a request that belongs to a W3C trace."""
    match = TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", ""))
    return {"trace_id": match[1], "parent_id": match[2]} if match else {}


class SecurityHeadersMiddleware:
    """Adds the headers that tell a browser what the page may not do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class LoadSheddingMiddleware:
    """Refuses predictions with 503 while the queue is full, or has no more room for their key.

    Under overload, refusing a request must be cheap, so it happens before routing and keys, and
    leaves no line in the log.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self.path = path
        error = overloaded()
        self.response = problem_response(error.status_code, error.detail, error.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self.path and self._is_overloaded(scope):
            metrics.REJECTED.labels("overload").inc()
            metrics.REQUESTS.labels(self.path, 503).inc()  # its time would be REJECTION_SECONDS
            await asyncio.sleep(REJECTION_SECONDS)
            await self.response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_overloaded(self, scope: Scope) -> bool:
        state = scope["app"].state.serving
        if not state.is_nearly_full:
            return False
        # The name in the key, unverified: who gives another's is refused for it, and no more.
        token = Headers(scope=scope).get("authorization", "").rpartition(" ")[2]
        return bool(state.is_overloaded_by(token.partition(".")[0]))
