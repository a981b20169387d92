"""Batching without waiting: requests that come while the model is busy form the next batch.

An idle model starts at once, so nothing is ever delayed to make a batch larger. Short batches run
on the event loop itself: for a small model, the way to a thread and back takes longer than the
work, and what arrives meanwhile waits in the sockets and is read as the next batch. Longer ones
run on a thread, so that the loop goes on reading, and turning away what is too much.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..preprocess import TooManyPixelsError, decode_image
from . import metrics
from .predictor import Predictor

Pixels = npt.NDArray[np.uint8]

MAX_BATCH_SECONDS = 0.005  # that a batch may take on the event loop
MAX_BLOCKING_SECONDS = 0.025  # that batches in a row may keep the loop from other things
MAX_BLOCKING_BYTES = 32_768  # larger files are decoded on a thread,
MAX_BLOCKING_PIXELS = 262_144  # and larger pictures, too
WATCH_SECONDS = 0.1  # between two looks for jobs that are overdue


@dataclass(slots=True)
class Classified:
    """What the model made of one picture, and how long that took.

    probabilities: of all classes. pixel_mean, pixel_std: of the decoded picture, on the scale 0
    to 255. decode, queue, inference: seconds; the inference is that of the whole batch.
    """

    probabilities: list[float]
    pixel_mean: float
    pixel_std: float
    decode: float
    queue: float
    inference: float


@dataclass(slots=True)
class _Job:
    pixels: Pixels  # (C, H, W)
    decode: float
    queued: float
    deadline: float
    future: asyncio.Future[Classified]


_Result = tuple[_Job, Classified | Exception]


class Batcher:
    """Runs a predictor, one batch after the other. Belongs to the event loop that it is made on."""

    def __init__(self, predictor: Predictor, max_batch_size: int, max_pixels: int) -> None:
        self.predictor = predictor
        self.max_batch_size = max_batch_size
        self.max_pixels = max_pixels
        self.num_waiting = 0
        self._jobs: deque[_Job] = deque()
        self._running: list[_Job] = []  # on the thread
        self._is_busy = False
        self._batch_seconds = 0.0  # of late: a moving average
        self._loop = asyncio.get_running_loop()
        self._model_thread = ThreadPoolExecutor(1, "model")
        # One large picture at a time, since each may take hundreds of megabytes.
        self._decode_thread = ThreadPoolExecutor(1, "decode")
        self._loop.call_later(WATCH_SECONDS, self._give_up_overdue)

    async def classify(self, picture: bytes, deadline: float) -> Classified:
        """Decode one picture and predict its class, until `deadline` on the `perf_counter`.

        Raises:
            ImageError: the picture cannot be used.
            TimeoutError: the answer is not there in time.
        """
        self.num_waiting += 1
        try:
            start = time.perf_counter()
            pixels = await self._decode(picture, deadline)
            queued = time.perf_counter()
            job = _Job(pixels, queued - start, queued, deadline, self._loop.create_future())
            self._jobs.append(job)
            if not self._is_busy:
                self._is_busy = True
                self._loop.call_soon(self._start_batch)  # after what else has arrived is read
            return await job.future
        finally:
            self.num_waiting -= 1
            metrics.QUEUE_DEPTH.set(self.num_waiting)

    def stop(self) -> None:
        """Finish what is running."""
        self._decode_thread.shutdown()
        self._model_thread.shutdown()

    async def _decode(self, picture: bytes, deadline: float) -> Pixels:
        """Small pictures right here: the way to a thread and back would take longer."""
        spec = self.predictor.metadata.image
        if len(picture) <= MAX_BLOCKING_BYTES:
            try:
                return decode_image(picture, spec, min(MAX_BLOCKING_PIXELS, self.max_pixels))
            except TooManyPixelsError:
                pass  # for here
        async with asyncio.timeout(deadline - time.perf_counter()):
            return await self._loop.run_in_executor(
                self._decode_thread, decode_image, picture, spec, self.max_pixels
            )

    def _start_batch(self) -> None:
        end = time.perf_counter() + MAX_BLOCKING_SECONDS
        while self._jobs and self._batch_seconds < MAX_BATCH_SECONDS and time.perf_counter() < end:
            _deliver(self._classify(self._next_jobs()))
        if self._jobs and self._batch_seconds >= MAX_BATCH_SECONDS:
            self._running = self._next_jobs()
            batch = self._loop.run_in_executor(self._model_thread, self._classify, self._running)
            batch.add_done_callback(self._finish_batch)
            return
        self._is_busy = bool(self._jobs)
        if self._is_busy:
            self._loop.call_soon(self._start_batch)

    def _finish_batch(self, batch: asyncio.Future[list[_Result]]) -> None:
        self._running = []
        _deliver(batch.result())
        self._start_batch()

    def _give_up_overdue(self) -> None:
        """End waits that are over; one timer for all jobs is cheaper than one for each."""
        now = time.perf_counter()
        for job in (*self._running, *self._jobs):
            if job.deadline < now and not job.future.done():
                job.future.set_exception(TimeoutError())
        self._jobs = deque(job for job in self._jobs if not job.future.done())
        self._loop.call_later(WATCH_SECONDS, self._give_up_overdue)

    def _next_jobs(self) -> list[_Job]:
        metrics.QUEUE_DEPTH.set(self.num_waiting)
        size = min(len(self._jobs), self.max_batch_size)
        jobs = [self._jobs.popleft() for _ in range(size)]
        return [job for job in jobs if not job.future.done()]  # done: timed out

    def _classify(self, jobs: list[_Job]) -> list[_Result]:
        start = time.perf_counter()
        try:
            return self._predict(jobs, start) if jobs else []
        except Exception as error:  # belongs to those who wait for an answer
            return [(job, error) for job in jobs]
        finally:
            self._batch_seconds += (time.perf_counter() - start - self._batch_seconds) / 8

    def _predict(self, jobs: list[_Job], start: float) -> list[_Result]:
        pixels = np.stack([job.pixels for job in jobs])  # (N, C, H, W)
        inference_start = time.perf_counter()
        probabilities = self.predictor.predict(pixels)
        inference = time.perf_counter() - inference_start
        metrics.INFERENCE_SECONDS.observe(inference)
        metrics.BATCH_SIZE.observe(len(jobs))
        means, stds = _statistics(pixels)
        rows = probabilities.tolist()
        return [
            (
                job,
                Classified(
                    rows[index],
                    means[index],
                    stds[index],
                    decode=job.decode,
                    queue=start - job.queued,
                    inference=inference,
                ),
            )
            for index, job in enumerate(jobs)
        ]


def _statistics(pixels: Pixels) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each picture of (N, C, H, W), on the scale 0 to 255."""
    rows = pixels.reshape(len(pixels), -1).astype(np.float64)
    means = rows.sum(axis=1) / rows.shape[1]
    squares: npt.NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows) / rows.shape[1]
    return means.tolist(), np.sqrt(np.maximum(squares - means**2, 0)).tolist()


def _deliver(results: Sequence[_Result]) -> None:
    for job, result in results:
        if job.future.done():
            continue
        if isinstance(result, Classified):
            job.future.set_result(result)
        else:
            job.future.set_exception(result)
