"""uvicorn's HTTP protocol, with two things changed: how an answer is written, and a limit of time.

uvicorn writes the head of an answer when it gets that, and the body when it gets that. Each is a
call of the system, which wakes the client up.

And it waits for the rest of a request as long as the client likes.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import metrics
from .observe import SECURITY_HEADERS
from .problems import problem_response

TOO_SLOW = problem_response(408, "the request took too long to arrive", {"Connection": "close"})


class JoinedWrites:
    """A transport that writes the parts of an answer together, and is else the real one.

    A lone answer goes out when its body is there. While others are on their way, it does so in the
    event loop's next turn, so that the answers of a batch are all ready before a client wakes up.
    """

    def __init__(self, transport: asyncio.Transport, running: set[asyncio.Task[None]]) -> None:
        self._transport = transport
        self._running = running
        self._parts: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon
        self.is_closing = transport.is_closing  # asked for every request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write this, now or with what comes in the same turn of the loop."""
        self._parts.append(data)
        if len(self._parts) == 1:
            self._call_soon(self.flush)
        elif len(self._running) == 1 or len(self._parts) > 2:
            self.flush()

    def close(self) -> None:
        """Write what there is, and close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write what there is."""
        if self._parts and not self.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()


class Protocol(HttpToolsProtocol):
    """One connection, closed where a request takes longer than `request_seconds` to arrive.

    If what is missing is a part of its body, it gets 408.
    """

    request_seconds = 10.0
    _timer: asyncio.TimerHandle | None = None

    # uvicorn narrows asyncio's type of a transport, too: over TCP it can be written to.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection over."""
        self._writes = JoinedWrites(transport, self.tasks)
        super().connection_made(cast("asyncio.Transport", self._writes))
        self._time_request()

    def data_received(self, data: bytes) -> None:
        """Go on with a request."""
        super().data_received(data)
        self._time_request()

    def on_message_begin(self) -> None:
        """Begin a request; the one before, if any, has arrived."""
        super().on_message_begin()
        self._stop_timer()

    def eof_received(self) -> None:
        """Write what there is, since the loop closes a connection that the client half closes."""
        self._writes.flush()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection go."""
        self._stop_timer()
        super().connection_lost(exc)

    def _time_request(self) -> None:
        """Start or stop the timer; a request that comes in one piece needs none."""
        cycle = self.cycle
        if self._has_head() and not cycle.more_body and not cycle.response_complete:
            self._stop_timer()
        elif not self._timer:
            self._timer = self.loop.call_later(self.request_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _has_head(self) -> bool:
        """Whether the newest request's head is there, and not only a part of it."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def _give_up(self) -> None:
        self._timer = None
        if self.pipeline:  # an earlier request has not been answered, and nothing is read meanwhile
            self._time_request()
            return
        if self._has_head() and not self.cycle.response_started:
            metrics.REJECTED.labels("slow").inc()
            # For observe.py, which does not see this answer; ASGI lets a server add keys.
            self.scope["status"] = 408  # type: ignore[typeddict-unknown-key]
            own = self.server_state.default_headers + SECURITY_HEADERS
            head = [b"HTTP/1.1 408 Request Timeout"]
            head += [name + b": " + value for name, value in own + TOO_SLOW.raw_headers]
            self.transport.write(b"\r\n".join([*head, b"", bytes(TOO_SLOW.body)]))
        self.transport.close()
