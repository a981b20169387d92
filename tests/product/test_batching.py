"""A request that times out costs nobody else anything, wherever it waits."""

import asyncio
import sys
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from my_project.preprocess import ImageSpec, decode_image
from my_project.serving.batching import Batcher, Classification
from my_project.serving.decoder import Decoder
from my_project.serving.predictor import Predictor

from ..serving_helpers import png

SPEC = ImageSpec(channels=1, height=8, width=8)
MAY_GO_ON, IS_BUSY = threading.Event(), threading.Event()


class SlowPredictor(Predictor):
    """Takes for ever while `MAY_GO_ON` is cleared."""

    def predict(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        IS_BUSY.set()
        assert MAY_GO_ON.wait(60)
        return super().predict(pixels)


def test_a_request_that_times_out_leaves_nothing_behind_and_costs_no_other(
    model_dir: Path, digit: bytes
) -> None:
    MAY_GO_ON.set()
    slow = SlowPredictor.load(model_dir, num_threads=1)
    pixels = decode_image(digit, SPEC)

    async def use() -> None:
        batcher = Batcher(slow, max_batch_size=2)

        def classify_two() -> asyncio.Future[
            tuple[Classification, Classification]
        ]:  # as a batch, so on the thread
            return asyncio.gather(batcher.classify(pixels), batcher.classify(pixels))

        MAY_GO_ON.clear()
        IS_BUSY.clear()
        patient = classify_two()
        await asyncio.to_thread(IS_BUSY.wait)  # they are with the model
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await batcher.classify(pixels)  # waits for the patient ones' batch
        assert not patient.done()
        MAY_GO_ON.set()
        assert [one.inference_seconds > 0 for one in await patient] == [True, True]
        MAY_GO_ON.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await classify_two()  # are with the model
        MAY_GO_ON.set()
        assert (await batcher.classify(pixels)).inference_seconds > 0
        await batcher.stop()

    asyncio.run(use())


def test_large_images_that_time_out_before_their_turn_are_let_go_at_once() -> None:
    large = png(np.zeros((4000, 4000), np.uint8))
    before = sys.getrefcount(large)

    async def use() -> None:
        decoder = Decoder(max_pixels=16_000_000)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await decoder.decode(large, SPEC, key="ana")
        assert sys.getrefcount(large) < before + 10  # those of the one that is being decoded
        assert (await decoder.decode(large, SPEC, key="ana")).shape == (1, 8, 8)

    asyncio.run(use())
