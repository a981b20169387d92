"""From an image file to pixels: what takes long happens on one thread, each key's in its turn."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..preprocess import ImageSpec, TooManyPixelsError, decode_image

Pixels = npt.NDArray[np.uint8]
Result = TypeVar("Result")

# Up to these sizes an image is decoded on the event loop: that takes less than the way to a thread.
MAX_INLINE_BYTES = 32_768
MAX_INLINE_PIXELS = 262_144


class Decoder:
    """Decodes small images at once, and large ones on a thread, one after the other.

    One at a time, since each may take hundreds of megabytes, and each key in its turn: however many
    images one key sends, another one waits for one of them.
    """

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._thread = ThreadPoolExecutor(1, "decode")
        self._is_busy = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by key, the next one first

    async def decode(self, image: bytes, spec: ImageSpec, key: str) -> Pixels:
        """The pixels (C, H, W) that the model takes.

        Args:
            key: name of the API key that sent it.

        Raises:
            ImageError: the image cannot be used.
        """
        if len(image) <= MAX_INLINE_BYTES:
            try:
                return decode_image(image, spec, min(MAX_INLINE_PIXELS, self.max_pixels))
            except TooManyPixelsError:
                pass  # for this thread
        return await self.run(key, decode_image, image, spec, self.max_pixels)

    async def run(self, key: str, function: Callable[..., Result], *arguments: object) -> Result:
        """The result of a function that takes long, called on the thread when it is key's turn."""
        # Who waits here and times out leaves nothing behind, as it would in the executor's queue.
        if self._is_busy:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(key, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it came at the same moment
                    self._end_turn()
                raise
        self._is_busy = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        running.add_done_callback(self._finish)
        return await asyncio.shield(running)  # a thread cannot be cancelled

    def _finish(self, running: asyncio.Future[Any]) -> None:
        running.exception()  # has been seen, even if whoever wanted it has timed out
        self._end_turn()

    def _end_turn(self) -> None:
        """Give the thread to the key that has waited longest since its last turn."""
        while self._waiting:
            key = next(iter(self._waiting))
            turns = self._waiting.pop(key)
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns  # as the last one
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._is_busy = False
