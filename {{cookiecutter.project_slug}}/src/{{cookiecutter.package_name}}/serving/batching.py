"""Batching without waiting: requests that come while the model is busy form the next batch.

An idle model starts at once, so nothing is ever delayed to make a batch larger. One thread
decodes and predicts, batch after batch; the event loop only hands over and takes back.
"""

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt

from ..preprocess import ImageError, decode_image
from . import metrics
from .predictor import Predictor

Pixels = npt.NDArray[np.uint8]

# Larger files are decoded on a thread of their own, since they would hold up a whole batch.
# For smaller ones the way to another thread costs more than it gains.
MAX_INLINE_BYTES = 32_768


@dataclass(slots=True)
class Classified:
    """What the model made of one picture, and how long that took.

    probabilities: (num_classes,). pixel_mean, pixel_std: of the decoded picture, on the scale 0
    to 255. decode, queue, inference: seconds; the inference is that of the whole batch.
    """

    probabilities: npt.NDArray[np.float32]
    pixel_mean: float
    pixel_std: float
    decode: float
    queue: float
    inference: float


@dataclass(slots=True)
class _Job:
    picture: bytes
    future: asyncio.Future[Classified]
    pixels: Pixels | None = None  # (C, H, W)
    queued: float = 0.0
    decode: float = 0.0


_Result = tuple[_Job, Classified | Exception]


class Batcher:
    """Runs a predictor on a thread. Belongs to the event loop that it is made on."""

    def __init__(self, predictor: Predictor, max_batch_size: int, max_pixels: int) -> None:
        self.predictor = predictor
        self.max_batch_size = max_batch_size
        self.max_pixels = max_pixels
        self.num_waiting = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    async def classify(self, picture: bytes) -> Classified:
        """Decode one picture and predict its class.

        Raises:
            ImageError: the picture cannot be used.
        """
        self.num_waiting += 1
        try:
            job = _Job(picture, self._loop.create_future())
            if len(picture) > MAX_INLINE_BYTES:
                await asyncio.to_thread(self._decode, job)
            job.queued = time.perf_counter()
            self._jobs.put(job)
            return await job.future
        finally:
            self.num_waiting -= 1

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._next_batch():
            waiting = [job for job in jobs if not job.future.done()]  # done: timed out
            results = self._classify(waiting)
            self._loop.call_soon_threadsafe(_deliver, results)

    def _next_batch(self) -> list[_Job]:
        """Wait for a job and take those that are behind it; none when there is no more to come."""
        jobs: list[_Job] = []
        try:
            while len(jobs) < self.max_batch_size:
                job = self._jobs.get(block=not jobs)
                if job is None:
                    if jobs:
                        self._jobs.put(None)
                    break
                jobs.append(job)
        except Empty:
            pass
        return jobs

    def _classify(self, jobs: list[_Job]) -> list[_Result]:
        start = time.perf_counter()
        ready: list[_Job] = []
        results: list[_Result] = []
        for job in jobs:
            try:
                if job.pixels is None:
                    self._decode(job)
                ready.append(job)
            except ImageError as error:
                results.append((job, error))
        try:
            return results + self._predict(ready, start) if ready else results
        except Exception as error:  # belongs to whoever waits for the answer, not to this thread
            return results + [(job, error) for job in ready]

    def _decode(self, job: _Job) -> None:
        start = time.perf_counter()
        job.pixels = decode_image(job.picture, self.predictor.metadata.image, self.max_pixels)
        job.decode = time.perf_counter() - start

    def _predict(self, jobs: list[_Job], start: float) -> list[_Result]:
        pixels = np.stack([job.pixels for job in jobs if job.pixels is not None])  # (N, C, H, W)
        inference_start = time.perf_counter()
        probabilities = self.predictor.predict(pixels)
        inference = time.perf_counter() - inference_start
        metrics.INFERENCE_SECONDS.observe(inference)
        metrics.BATCH_SIZE.observe(len(jobs))
        metrics.QUEUE_DEPTH.set(self.num_waiting)
        rows = pixels.reshape(len(jobs), -1)
        means, stds = rows.mean(axis=1).tolist(), rows.std(axis=1).tolist()
        return [
            (
                job,
                Classified(
                    probabilities[index],
                    means[index],
                    stds[index],
                    decode=job.decode,
                    queue=start - job.queued,
                    inference=inference,
                ),
            )
            for index, job in enumerate(jobs)
        ]


def _deliver(results: Iterable[_Result]) -> None:
    for job, result in results:
        if job.future.done():
            continue
        if isinstance(result, Classified):
            job.future.set_result(result)
        else:
            job.future.set_exception(result)
