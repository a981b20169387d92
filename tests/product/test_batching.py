"""No request waits for its response longer than it may, wherever it waits."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from my_project.serving.batching import Batcher, Classified
from my_project.serving.predictor import Predictor

from ..serving_helpers import png

MAY_GO_ON, IS_BUSY = threading.Event(), threading.Event()


class SlowPredictor(Predictor):
    """Takes longer than a batch may on the event loop; while `MAY_GO_ON` is cleared, for ever."""

    def predict(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        IS_BUSY.set()
        assert MAY_GO_ON.wait(60)
        time.sleep(0.2)
        return super().predict(pixels)


def test_no_request_waits_for_its_response_longer_than_it_may(
    model_dir: Path, digit: bytes
) -> None:
    MAY_GO_ON.set()
    slow = SlowPredictor.load(model_dir, num_threads=1)
    broken = png(np.zeros((4000, 4000), np.uint8))[:-100]  # which decoding would find out

    async def use() -> None:
        batcher = Batcher(slow, max_batch_size=1, max_pixels=16_000_000)

        def classify(image: bytes, seconds: float) -> Coroutine[None, None, Classified]:
            return batcher.classify(image, time.perf_counter() + seconds)

        await classify(digit, 60)  # from now on, the model runs on a thread
        MAY_GO_ON.clear()
        IS_BUSY.clear()
        patient = asyncio.create_task(classify(digit, 60))
        await asyncio.to_thread(IS_BUSY.wait)  # it is with the model
        with pytest.raises(TimeoutError):
            await classify(digit, 0.1)  # waits for the patient one's batch
        assert not patient.done()
        MAY_GO_ON.set()
        assert (await patient).inference > 0
        MAY_GO_ON.clear()
        with pytest.raises(TimeoutError):
            await classify(digit, 0.1)  # is with the model
        MAY_GO_ON.set()
        with pytest.raises(TimeoutError):
            await classify(broken, 0.001)  # is being decoded
        assert batcher.num_waiting == 0
        batcher.stop()

    asyncio.run(use())
