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

from .logs import LOG_CONFIG
from .settings import Settings

logger = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM; then finish what is in flight."""
    settings = Settings()
    listener = bind(settings)  # here, so that a port that is taken is one error and not many
    if settings.num_workers == 1:
        serve(settings, listener)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the workers add up their metrics
        supervise(settings, listener)


def supervise(settings: Settings, listener: socket.socket) -> None:
    """Run the workers, and start one again that dies.

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
    while not stopping.wait(0.2):
        for index, worker in enumerate(workers):
            if not worker.is_alive():
                logger.error(
                    "worker %s ended with %s: starting another", worker.pid, worker.exitcode
                )
                multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
                workers[index] = start()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()


def serve(settings: Settings, listener: socket.socket | None) -> None:
    """Serve in this process, on a socket of its own where none is given."""
    # How long the thread that writes to the database may keep the event loop waiting; by default
    # 5 ms, which is many times what a small model takes.
    sys.setswitchinterval(0.0001)
    config = uvicorn.Config(
        f"{__package__}.app:app",
        log_config=LOG_CONFIG,
        access_log=False,  # observe.py writes a richer one
        proxy_headers=False,  # nothing here asks who the client is
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    uvicorn.Server(config).run([listener or bind(settings, share_port=True)])


def bind(settings: Settings, *, share_port: bool = False) -> socket.socket:
    """A socket on the host and port of the settings."""
    family, *_, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)
    return listener
