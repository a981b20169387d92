"""Real servers on loopback, each in a process of its own for as long as a test needs it."""

import contextlib
import functools
import http.server
import itertools
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from . import workers
from .bakes import Bake, activated, clean_environment

START_SECONDS = 180  # far more than it takes, for a machine that is busy
# Below the ports that systems give to outgoing connections, and apart from the other worker's: what
# is free when a test asks for it is still free when its server starts.
NUM_PORTS = 5000
FIRST_PORT = 22_000 + NUM_PORTS * workers.NUMBER
_numbers = itertools.count(os.getpid())


def free_port() -> int:
    """A port of loopback that nothing listens on, another one at each call."""
    for number in _numbers:
        port = FIRST_PORT + number % NUM_PORTS
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError


@contextlib.contextmanager
def running(*command: str | Path, port: int) -> Iterator[None]:
    """A server process as long as the block lasts, from when it listens on `port`."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < deadline, f"{command[0]} does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def serve(project: Bake, environment: Path, **env: str) -> Iterator[httpx.Client]:
    """Run the project's own server in a process of its own, as long as the block lasts."""
    port = free_port()
    server = subprocess.Popen(
        ["python", "-m", f"{project.package}.serving"],
        cwd=project.path,
        env=clean_environment() | activated(environment, project) | {"PORT": str(port)} | env,
    )
    url, headers = f"http://127.0.0.1:{port}", {"Content-Type": "image/png"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=START_SECONDS) as client:
            wait_until_ready(client, server)
            yield client
    finally:
        server.terminate()
        server.wait()


def wait_until_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    pytest.fail("the server did not get ready")


@contextlib.contextmanager
def http_folder(folder: Path, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve a folder over HTTP on loopback, or over HTTPS; gives the URL."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
