"""uvicorn's HTTP protocol with what it lacks: limits for the head of a request."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536


class HeadLimitProtocol(HttpToolsProtocol):
    """One connection, closed if the head of a request is too large or too slow.

    uvicorn waits as long as a client likes for a head of any size, so that a few hundred slow
    clients (Slowloris) take all connections, and a large head takes the memory. A head has as long
    as an idle connection is kept alive. The body's limits are those of images.py.
    """

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that is not complete yet."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            return  # a request is being handled
        self._await_head()
        if self.cycle is None or not self.cycle.more_body:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._stop_timer()
        self._head_bytes = 0
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection go."""
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
