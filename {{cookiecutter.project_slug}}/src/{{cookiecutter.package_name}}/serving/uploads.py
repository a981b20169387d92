"""From a request to the bytes of the picture in it, never holding more than is allowed."""

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that ends a request with 413 as soon as its body is too large."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = limited(receive, self.max_bytes)
        await self.app(scope, receive, send)


def limited(receive: Receive, max_bytes: int) -> Receive:
    """A `receive` that raises 413 once more than `max_bytes` have come."""
    num_bytes = 0

    async def counting_receive() -> Message:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > max_bytes:
            raise too_large(max_bytes)
        return message

    return counting_receive


def too_large(max_bytes: int) -> HTTPException:
    """The error for a body over the limit; the rest of it is not waited for."""
    detail = f"the body may have at most {max_bytes:,} bytes"
    return HTTPException(413, detail, {"Connection": "close"})


async def read_picture(request: Request, max_bytes: int) -> bytes:
    """The picture of a request: its whole body, or the field `file` of a form.

    Raises:
        HTTPException: 413 for more than `max_bytes`, 415 for another content type, 422 where
            there is no picture.
    """
    length = request.headers.get("content-length")
    if length is None:  # else the server reads just as much as it says
        request = Request(request.scope, limited(request.receive, max_bytes))
    elif int(length) > max_bytes:
        raise too_large(max_bytes)
    content_type = request.headers.get("content-type", "application/octet-stream")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        picture = await _form_file(request)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        picture = await request.body()
    else:
        raise HTTPException(
            415,
            f"send the picture as the body with a content type such as image/png, or as the field "
            f"`file` of a multipart form; not as {media_type}",
        )
    if not picture:
        raise HTTPException(422, "there is no picture in the request")
    return picture


async def _form_file(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(422, "the form has no file in its field `file`")
        return await file.read()
