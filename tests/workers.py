"""The workers of a test run (pytest-xdist): what they share, and what each has for itself."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

IN_PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
CORES = os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))


def take_one_core() -> None:
    """Keep this worker and all that it starts to one core, where each worker can have one.

    Two trainings that each start a thread for every core wait for each other's threads most of the
    time, which took many times as long as one after the other.
    """
    if IN_PARALLEL and sys.platform == "linux" and len(CORES) > 1:
        os.sched_setaffinity(0, {sorted(CORES)[NUMBER % len(CORES)]})


def take_all_cores() -> None:
    """Undo that in a process that serves all workers, such as a Docker engine."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, CORES)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run, in which each worker has one of its own."""
    own = factory.getbasetemp()
    return own.parent if IN_PARALLEL else own


def once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder that the first worker to ask for it fills; the other waits for that."""
    folder = shared_folder(factory) / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what an attempt that failed has left
            folder.mkdir()
            fill(folder)
            done.touch()
    return folder
