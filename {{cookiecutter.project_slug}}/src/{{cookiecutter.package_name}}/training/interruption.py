"""SIGTERM, which comes before a machine is taken away: the loop stops after the running step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 128 + signal.SIGTERM  # what a shell reports for a process that SIGTERM ended: 143

MESSAGE = "stopped by SIGTERM; the state is saved, and the same command continues"


class TrainingStoppedError(Exception):
    """Training was asked to stop, and its state is saved; the same command continues it."""


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, in place of ending the process.

    Clusters and clouds send SIGTERM some seconds before they take a machine away.
    """
    stop = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, previous)
