"""One function over many items, in chunks: on all cores, or on a Dask cluster.

Where `DASK_SCHEDULER_ADDRESS` is set, such as to `tcp://10.0.0.5:8786`, the chunks go to that
cluster, whose workers need this project installed, and the same folders at the same paths.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from .cores import num_cores
from .errors import UserError

CHUNKS_PER_WORKER = 2  # handed out at a time, so that memory stays bounded
MAX_CRASHES = 3  # of workers, one after the other, while no chunk is finished
CONNECT_SECONDS = 10

Result = TypeVar("Result")


def is_on_cluster() -> bool:
    """Whether the workers may be other machines."""
    return "DASK_SCHEDULER_ADDRESS" in os.environ


def map_chunks(function: Callable[[Any], Result], items: Any, chunk_size: int) -> Iterator[Result]:
    """Yield `function(chunk)` for each chunk of `items`, in their order.

    The number of workers changes nothing but the time. The chunks of a worker that dies are done
    again by another one.

    Args:
        function: a function of a module, or a `partial` of one, that takes `chunk_size` items.
        items: what has a length and gives chunks for slices, such as a list or an array.
        chunk_size: number of items.

    Raises:
        UserError: the cluster cannot be used, or workers die again and again.
    """
    chunks = range(0, len(items), chunk_size)
    if len(chunks) <= 1 or (num_cores() == 1 and not is_on_cluster()):
        yield from (function(items[start : start + chunk_size]) for start in chunks)
        return
    num_done = num_crashes = 0
    while num_done < len(chunks):
        try:
            with _cluster() if is_on_cluster() else _processes() as (executor, num_workers):
                waiting: deque[Future[Result]] = deque()
                for start in chunks[num_done:]:
                    waiting.append(executor.submit(function, items[start : start + chunk_size]))
                    if len(waiting) == CHUNKS_PER_WORKER * num_workers:
                        yield waiting.popleft().result()
                        num_done, num_crashes = num_done + 1, 0
                while waiting:
                    yield waiting.popleft().result()
                    num_done, num_crashes = num_done + 1, 0
        except BrokenProcessPool:
            num_crashes += 1
            if num_crashes == MAX_CRASHES:
                raise _died(num_crashes) from None


@contextmanager
def _processes() -> Iterator[tuple[Executor, int]]:
    # Not forks of this process, which would copy locks that other threads hold.
    method = "spawn" if os.name == "nt" else "forkserver"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(num_cores(), mp_context=context, initializer=_start_worker) as pool:
        yield pool, num_cores()


def _start_worker() -> None:
    """Leave Ctrl-C to the process that has started this one, and end when that has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


@contextmanager
def _cluster() -> Iterator[tuple[Executor, int]]:
    address = os.environ["DASK_SCHEDULER_ADDRESS"]
    try:
        from distributed import Client, KilledWorker  # the group `cluster`; slow to import
    except ImportError:
        raise UserError(
            "DASK_SCHEDULER_ADDRESS needs the group `cluster`: uv sync --inexact --group cluster"
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError):
        raise UserError(f"no Dask scheduler answers at DASK_SCHEDULER_ADDRESS={address}") from None
    with client:
        num_workers = sum(client.nthreads().values())
        if not num_workers:
            raise UserError(f"the Dask scheduler at {address} has no workers")
        try:
            yield client.get_executor(pure=False), num_workers
        except KilledWorker as error:
            raise _died(error.allowed_failures + 1) from None


def _died(num_crashes: int) -> UserError:
    return UserError(
        f"{num_crashes} workers died at the same images, one after the other: is the memory full?"
    )
