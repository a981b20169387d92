"""From a request to pixels: the body is read within limits of size and time, then decoded."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..preprocess import ImageSpec, TooManyPixelsError, decode_image
from . import metrics

Pixels = npt.NDArray[np.uint8]

# Up to these sizes an image is decoded on the event loop: that takes less than the way to a thread.
MAX_INLINE_BYTES = 32_768
MAX_INLINE_PIXELS = 262_144


async def read_body(request: Request, max_bytes: int, seconds: float) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 413 for more than `max_bytes`, as soon as that is known; 408 where it has
            not arrived after so many seconds.
    """
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        metrics.REJECTED.labels("slow").inc()
        raise HTTPException(
            408, "the request took too long to arrive", {"Connection": "close"}
        ) from None
    return bytes(body)


def _too_large(max_bytes: int) -> HTTPException:
    """The error for a body over the limit; the connection ends, so that the rest is not read."""
    detail = f"the body may have at most {max_bytes:,} bytes"
    return HTTPException(413, detail, {"Connection": "close"})


async def read_image(request: Request, max_bytes: int, seconds: float) -> bytes:
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
    body = await read_body(request, max_bytes, seconds)
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

    One at a time, since each may take hundreds of megabytes.
    """

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._thread = ThreadPoolExecutor(1, "decode")
        self._is_free = asyncio.Lock()

    async def decode(self, image: bytes, spec: ImageSpec) -> Pixels:
        """The pixels (C, H, W) that the model takes.

        Raises:
            ImageError: the image cannot be used.
        """
        if len(image) <= MAX_INLINE_BYTES:
            try:
                return decode_image(image, spec, min(MAX_INLINE_PIXELS, self.max_pixels))
            except TooManyPixelsError:
                pass  # for this thread
        # Who waits here and times out leaves nothing behind, as it would in the executor's queue.
        await self._is_free.acquire()
        decoding = asyncio.get_running_loop().run_in_executor(
            self._thread, decode_image, image, spec, self.max_pixels
        )
        decoding.add_done_callback(self._finish)
        return await asyncio.shield(decoding)  # a thread cannot be cancelled

    def _finish(self, decoding: asyncio.Future[Pixels]) -> None:
        decoding.exception()  # has been seen, even if whoever wanted it has timed out
        self._is_free.release()
