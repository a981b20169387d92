"""Dynamic batching without waiting: images that come while the model is busy form the next batch.

An idle model starts at once, so no request is delayed to make a batch larger. Batches run on a
thread, where ONNX Runtime leaves the interpreter to the event loop.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import metrics
from .decoder import Pixels
from .predictor import Predictor


@dataclass(slots=True)
class Classification:
    """What the model says about one image.

    probabilities: of all classes. pixel_mean, pixel_std: of the image, on the scale 0 to 255.
    queue_seconds: until its batch started. inference_seconds: of the whole batch.
    """

    probabilities: list[float]
    pixel_mean: float
    pixel_std: float
    queue_seconds: float
    inference_seconds: float


@dataclass(slots=True)
class _Job:
    pixels: Pixels  # (C, H, W)
    queued: float
    result: asyncio.Future[Classification]


class Batcher:
    """Runs a predictor, one batch after the other."""

    def __init__(self, predictor: Predictor, max_batch_size: int) -> None:
        self.predictor = predictor
        self.max_batch_size = max_batch_size
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task = asyncio.create_task(self._run())

    async def classify(self, pixels: Pixels) -> Classification:
        """Predict the class of an image (C, H, W)."""
        job = _Job(pixels, time.perf_counter(), asyncio.get_running_loop().create_future())
        self._queue.put_nowait(job)
        return await job.result

    async def stop(self) -> None:
        """Finish the batch that is running."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            jobs = [await self._queue.get()]
            while len(jobs) < self.max_batch_size and not self._queue.empty():
                jobs.append(self._queue.get_nowait())
            jobs = [job for job in jobs if not job.result.done()]  # without those that timed out
            try:
                if len(jobs) > 1:
                    results = await loop.run_in_executor(self._thread, self._classify, jobs)
                else:  # for one image, the way to a thread and back takes longer than the model
                    results = self._classify(jobs)
            except Exception as error:  # belongs to those who wait for a response
                for job in jobs:
                    if not job.result.done():
                        job.result.set_exception(error)
            else:
                for job, result in zip(jobs, results, strict=True):
                    if not job.result.done():
                        job.result.set_result(result)

    def _classify(self, jobs: list[_Job]) -> list[Classification]:
        if not jobs:
            return []
        start = time.perf_counter()
        pixels = np.stack([job.pixels for job in jobs])  # (N, C, H, W)
        probabilities = self.predictor.predict(pixels).tolist()
        seconds = time.perf_counter() - start
        metrics.INFERENCE_SECONDS.observe(seconds)
        metrics.BATCH_SIZE.observe(len(jobs))
        rows = pixels.reshape(len(jobs), -1)
        return [
            Classification(row, mean, std, start - job.queued, seconds)
            for job, row, mean, std in zip(
                jobs,
                probabilities,
                rows.mean(axis=1).tolist(),
                rows.std(axis=1).tolist(),
                strict=True,
            )
        ]
