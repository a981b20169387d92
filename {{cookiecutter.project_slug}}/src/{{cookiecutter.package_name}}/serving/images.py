"""From a request to an image file: the body is read within limits of size and time."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from . import metrics
from .decoder import MAX_INLINE_BYTES, Decoder
from .problems import overloaded

SMALL_BYTES = 65_536  # of a body, which are always taken


@dataclass
class BodyLimits:
    """How much of requests' bodies a worker takes.

    Attributes:
        max_bytes: of one body. seconds: until it has arrived.
        max_total_bytes: of all that are arriving or wait for their prediction, but for the first
            `SMALL_BYTES` of each, so that large ones do not keep small ones out.
            One key can have half of it.
        by_key: how much that is now, by the name of the API key.
    """

    max_bytes: int
    seconds: float
    max_total_bytes: int
    by_key: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, num_bytes: int) -> None:
        """Count bytes that have come, or with a minus have gone."""
        self.by_key[key] += num_bytes

    def is_exceeded_by(self, key: str) -> bool:
        """Whether there is no room for more, or none for this key."""
        share = self.max_total_bytes / 2 if key else self.max_total_bytes
        return self.by_key[key] > share or self.by_key.total() > self.max_total_bytes


def counted_bytes(body: bytes | bytearray) -> int:
    """How much of the limit for all bodies this one takes."""
    return max(0, len(body) - SMALL_BYTES)


async def read_body(request: Request, limits: BodyLimits, max_bytes: int, key: str) -> bytes:
    """The whole body, which somebody with this API key sends.

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
                limits.add(key, counted_bytes(body) - counted)
                counted = counted_bytes(body)
                if limits.is_exceeded_by(key):
                    metrics.REJECTED.labels("memory").inc()
                    raise overloaded({"Connection": "close"})
    except TimeoutError:
        metrics.REJECTED.labels("slow").inc()
        raise HTTPException(
            408, "the request took too long to arrive", {"Connection": "close"}
        ) from None
    finally:
        limits.add(key, -counted)
    return bytes(body)


def _too_large(max_bytes: int) -> HTTPException:
    """The error for a body over the limit; the connection ends, so that the rest is not read."""
    detail = f"the body may have at most {max_bytes:,} bytes"
    return HTTPException(413, detail, {"Connection": "close"})


async def read_image(request: Request, limits: BodyLimits, decoder: Decoder, key: str) -> bytes:
    """The image file in a request: its whole body, or the field `file` of a form.

    decoder: on whose thread large forms are read, each key's in its turn.

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
    image = await read_body(request, limits, limits.max_bytes, key)
    if is_form and len(image) <= MAX_INLINE_BYTES:
        image = await _form_file(content_type, image)
    elif is_form:
        image = await decoder.run(key, lambda: asyncio.run(_form_file(content_type, image)))
    if not image:
        raise HTTPException(422, "there is no image in the request")
    return image


async def _form_file(content_type: str, body: bytes) -> bytes:
    """The field `file` of a form whose body has been read."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    boundary = parse_options_header(content_type)[1].get(b"boundary", b"").decode("latin-1")
    # Without `charset`: some of Python's take minutes to decode a field, such as idna.
    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'})
    parser = MultiPartParser(headers, stream(), max_files=1, max_fields=1)
    parser.spool_max_size = len(body)  # never a temporary file: the body is in memory anyway
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from None
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise HTTPException(422, "the form has no file in its field `file`")
    return await file.read()
