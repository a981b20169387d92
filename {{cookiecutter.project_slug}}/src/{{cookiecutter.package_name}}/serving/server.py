"""The worker processes: how many there are, where they listen, and how they start and end."""

import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from multiprocessing.context import SpawnProcess

import uvicorn
from prometheus_client import multiprocess
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError

from .logs import LOG_CONFIG
from .protocol import Protocol
from .settings import Settings
from .store import connect

logger = logging.getLogger(__name__)

STARTUP_FAILURE = 3  # uvicorn's own exit code for it
# Where Linux has files that never wait for a disk; the folder in it gets a name of its own.
SHARED_MEMORY = "/dev/shm"  # noqa: S108


def main() -> None:
    """Serve until SIGTERM; then finish what is in flight."""
    settings, listener = prepare()
    if settings.num_workers == 1:
        serve(settings, listener)
        return
    memory = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None  # None: on the disk
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the workers add up their metrics
        os.environ["SHARED_FOLDER"] = folder
        sys.exit(supervise(settings, listener))


def prepare() -> tuple[Settings, socket.socket]:
    """The settings and the port, checked here, so that what is wrong is said once and in a line."""
    try:
        settings = Settings()
        connect(settings.database_url).dispose()
        return settings, bind(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        sys.exit(f"error: {name}={first['input']}: {first['msg']}")
    except (ArgumentError, ImportError) as error:
        sys.exit(f"error: DATABASE_URL cannot be used: {error}")
    except OSError as error:
        sys.exit(f"error: cannot listen on {settings.host}:{settings.port}: {error.strerror}")


def supervise(settings: Settings, listener: socket.socket) -> int:
    """Run the workers, and start one again that is killed; give the exit code.

    A worker that ends by itself, with an error, would do so again: then all of them end.

    On Linux each worker listens on a socket of its own, between which the kernel spreads the
    connections. From a socket that all of them share, the first to wake up takes all there are.
    """
    logging.config.dictConfig(LOG_CONFIG)
    share_port = sys.platform == "linux"
    if share_port:
        listener.close()

    def start() -> SpawnProcess:
        arguments = (settings, None if share_port else listener)
        worker = multiprocessing.get_context("spawn").Process(target=serve, args=arguments)
        worker.start()
        return worker

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    workers = [start() for _ in range(settings.num_workers)]
    failure = 0
    while not failure and not stopping.wait(0.2):
        for index, worker in enumerate(workers):
            code = worker.exitcode
            if code is None:
                continue
            multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
            if code > 0:
                logger.error("worker %s ended with %s: stopping", worker.pid, code)
                failure = code
                break
            logger.error("worker %s ended with %s: starting another", worker.pid, code)
            workers[index] = start()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()
    return failure


def serve(settings: Settings, listener: socket.socket | None) -> None:
    """Serve in this process, on a socket of its own where none is given."""
    # How long the thread that writes to the database may keep the event loop waiting; by default
    # 5 ms, which is many times what a small model takes.
    sys.setswitchinterval(0.0001)
    Protocol.request_seconds = settings.request_timeout_seconds
    config = uvicorn.Config(
        f"{__package__}.app:app",
        http=Protocol,
        log_config=LOG_CONFIG,
        access_log=False,  # observe.py writes a richer one
        proxy_headers=False,  # nothing here asks who the client is
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    server = uvicorn.Server(config)
    server.run([listener or bind(settings, share_port=True)])
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def bind(settings: Settings, *, share_port: bool = False) -> socket.socket:
    """A socket on the host and port of the settings."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # With its protocol, so that asyncio knows a TCP socket and sends small answers at once.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)
    return listener
