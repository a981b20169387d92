"""From a request to pixels: the body is read within limits of size and time, then decoded."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..preprocess import ImageSpec, TooManyPixelsError, decode_image
from . import metrics
from .problems import overloaded

Pixels = npt.NDArray[np.uint8]

# Up to these sizes an image is decoded on the event loop: that takes less than the way to a thread.
MAX_INLINE_BYTES = 32_768
MAX_INLINE_PIXELS = 262_144
SMALL_BYTES = 65_536  # of a body, which are always taken


@dataclass
class BodyLimits:
    """How much of requests' bodies a worker takes.

    Attributes:
        max_bytes: of one body. seconds: until it has arrived.
        max_total_bytes: of all that are arriving or wait for their prediction, but for the first
            `SMALL_BYTES` of each, so that large ones do not keep small ones out.
        total_bytes: how much that is now.
    """

    max_bytes: int
    seconds: float
    max_total_bytes: int
    total_bytes: int = 0


def counted_bytes(body: bytes | bytearray) -> int:
    """How much of the limit for all bodies this one takes."""
    return max(0, len(body) - SMALL_BYTES)


async def read_body(request: Request, limits: BodyLimits, max_bytes: int) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 413 for more than `max_bytes`, as soon as that is known; 408 where it has
            not arrived in time; 503 if all bodies together are too large.
    """
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    counted = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                limits.total_bytes += counted_bytes(body) - counted
                counted = counted_bytes(body)
                if limits.total_bytes > limits.max_total_bytes:
                    metrics.REJECTED.labels("memory").inc()
                    raise overloaded({"Connection": "close"})
    except TimeoutError:
        metrics.REJECTED.labels("slow").inc()
        raise HTTPException(
            408, "the request took too long to arrive", {"Connection": "close"}
        ) from None
    finally:
        limits.total_bytes -= counted
    return bytes(body)


def _too_large(max_bytes: int) -> HTTPException:
    """The error for a body over the limit; the connection ends, so that the rest is not read."""
    detail = f"the body may have at most {max_bytes:,} bytes"
    return HTTPException(413, detail, {"Connection": "close"})


async def read_image(request: Request, limits: BodyLimits) -> bytes:
    """The image file in a request: its whole body, or the field `file` of a form.

    Raises:
        HTTPException: as `read_body`; 415 for another content type, 422 if there is no image.
    """
    content_type = request.headers.get("content-type", "application/octet-stream")
    media_type = content_type.partition(";")[0].strip().lower()
    is_form = media_type == "multipart/form-data"
    if not (is_form or media_type.startswith("image/") or media_type == "application/octet-stream"):
        raise HTTPException(
            415,
            "send the image as the body with a content type such as image/png, or as the field "
            f"`file` of a multipart form; not as {media_type}",
        )
    body = await read_body(request, limits, limits.max_bytes)
    image = await _form_file(request, body) if is_form else body
    if not image:
        raise HTTPException(422, "there is no image in the request")
    return image


async def _form_file(request: Request, body: bytes) -> bytes:
    """The field `file` of a form whose body has been read."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=1, max_fields=1)
    parser.spool_max_size = len(body)  # never a temporary file: the body is in memory anyway
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise HTTPException(422, "the form has no file in its field `file`")
    return await file.read()


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
        decoding = asyncio.get_running_loop().run_in_executor(
            self._thread, decode_image, image, spec, self.max_pixels
        )
        decoding.add_done_callback(self._finish)
        return await asyncio.shield(decoding)  # a thread cannot be cancelled

    def _finish(self, decoding: asyncio.Future[Pixels]) -> None:
        decoding.exception()  # has been seen, even if whoever wanted it has timed out
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
