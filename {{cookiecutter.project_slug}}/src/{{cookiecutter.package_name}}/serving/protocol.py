"""uvicorn's HTTP protocol, with one write to the network for an answer instead of two.

uvicorn writes the head of an answer when it gets that, and the body when it gets that. Each is a
call of the system, which wakes the client up: a tenth of what a small prediction takes in all.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """A transport that writes what belongs together at once, and else does what the real one does.

    A lone answer goes out when its body is there. While others are on their way, it goes out at the
    end of the event loop's turn, so that a whole batch is ready before its clients wake up.
    """

    def __init__(self, transport: asyncio.Transport, running: set[asyncio.Task[None]]) -> None:
        self._transport = transport
        self._running = running
        self._parts: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write this soon, with what comes until then."""
        self._parts.append(data)
        if len(self._parts) == 1:
            self._loop.call_soon(self._flush)
        elif len(self._running) == 1:
            self._flush()

    def close(self) -> None:
        """Write what there is, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection over."""
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, self.tasks)))
