"""What workers do in the tests: in a file of its own, since each of them imports it."""

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from my_project import parallel
from my_project.parallel import map_chunks


def die_at(numbers: Sequence[int], number: int, scars: Path, deaths: int) -> list[int]:
    """Return the numbers; kill this process instead, `deaths` times, where `number` is one."""
    if number in numbers and (died := len(list(scars.iterdir()))) < deaths:
        (scars / str(died)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * value for value in numbers]


def note_and_sleep(numbers: Sequence[int], folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def wait_in_workers(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "num_cores", lambda: 2)
        list(map_chunks(partial(note_and_sleep, folder=folder), range(10), 1))


def touch_each(numbers: Sequence[int], folder: Path) -> None:
    for number in numbers:
        (folder / str(number)).touch()
