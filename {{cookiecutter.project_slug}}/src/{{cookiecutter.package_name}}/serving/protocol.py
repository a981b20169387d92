"""uvicorn's HTTP protocol with what it lacks: limits for all of a request but its body."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from . import metrics

MAX_HEAD_BYTES = 65_536  # looked at after each read from the socket
MAX_PIPELINED = 8  # requests that one client has sent before the responses to those before them
CLIENT_READ_SECONDS = 15.0  # for a client to read the response that it has asked for


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection, closed when it goes over one of these limits, which uvicorn does not have.

    - Size of a head, or of the fields behind a chunked body: `MAX_HEAD_BYTES`.
    - Time for a head to arrive: as long as an idle connection is kept alive.
    - Requests in a row that have no response yet: `MAX_PIPELINED`.
    - Time for the client to read a response: `CLIENT_READ_SECONDS`.

    Without them, a few hundred slow clients (Slowloris) take all connections, and what has no end
    takes all memory. images.py limits the body.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cycles: list[RequestResponseCycle] = []  # requests that have no response yet
        self._head_bytes = 0  # since the last piece of a body, or since a head began
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Count what is no body."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._abort("head")
        elif self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def on_body(self, body: bytes) -> None:
        """A piece of a body has come."""
        self._head_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """The head is complete.

        Raises:
            ValueError: there are too many requests in a row; uvicorn then closes the connection.
        """
        self._stop_head_timer()
        self._head_bytes = 0
        super().on_headers_complete()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles.append(self.cycle)
        if len(self._cycles) > MAX_PIPELINED:
            metrics.REJECTED.labels("pipelined").inc()
            raise ValueError("too many requests in a row")

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with what came, and close the connection."""
        self._disconnect()
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not read: it gets some time to."""
        super().pause_writing()
        self._read_timer = self.loop.call_later(CLIENT_READ_SECONDS, self._abort, "unread")

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also if what it should have read is still here."""
        super().timeout_keep_alive_handler()
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timers."""
        self._stop_head_timer()
        if self._read_timer is not None:
            self._read_timer.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self._close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        self.transport.close()  # once the client has taken all; and then in any case:
        self.loop.call_later(CLIENT_READ_SECONDS, self.transport.abort)

    def _abort(self, reason: str) -> None:
        metrics.REJECTED.labels(reason).inc()
        self._disconnect()
        self.transport.abort()

    def _disconnect(self) -> None:
        """Let what still handles a request know that nobody waits for the response."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()
