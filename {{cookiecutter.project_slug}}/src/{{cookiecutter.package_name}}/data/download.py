"""Download one file so that it is either there and right, or not there at all."""

import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import truststore
from tqdm import tqdm

from ..errors import UserError
from ..files import sha256_of

NUM_TRIES = 5
TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class DownloadError(UserError):
    """A file that could not be had, or is not the file that was expected."""


def download(url: str, target: Path, sha256: str) -> None:
    """Bring `url` (http, https or file) to `target`, resuming where an earlier try broke off.

    What has arrived lies in `target` + `.part` until its SHA-256 is right; only then does it get
    its name, so a file of that name is always whole. A file that is already right is left alone.

    Raises:
        DownloadError: not found, no answer after five tries, or another SHA-256 than `sha256`.
    """
    if target.exists() and sha256_of(target) == sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if url.startswith("file:"):
        _copy(url, part)
    else:
        _receive_with_retries(url, part)
    received = sha256_of(part)
    if received != sha256:
        part.unlink()
        raise DownloadError(
            f"{url} has the SHA-256 {received}, expected {sha256}: it was changed or damaged"
        )
    part.replace(target)


def _copy(url: str, part: Path) -> None:
    source = Path(url2pathname(urlsplit(url).path))
    try:
        part.write_bytes(source.read_bytes())
    except OSError as error:
        raise DownloadError(f"{source} cannot be read: {error.strerror}") from None


def _receive_with_retries(url: str, part: Path) -> None:
    for num_try in range(1, NUM_TRIES + 1):
        try:
            return _receive(url, part)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status < 500 and status != httpx.codes.TOO_MANY_REQUESTS:
                raise DownloadError(f"{url} answers {status}; is the address right?") from None
            reason = f"the server answers {status}"
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
                raise DownloadError(f"{url} is not a URL that can be read: {error}") from None
            reason = str(error) or type(error).__name__
        if num_try < NUM_TRIES:
            time.sleep(0.5 * 2**num_try)
    raise DownloadError(f"{url} could not be downloaded in {NUM_TRIES} tries: {reason}")


def _receive(url: str, part: Path) -> None:
    """Append to `part` what is still missing, or start anew where the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    # Bytes as they are in the file: a part of a compressed answer could not be gone on with.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    trust = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's, as browsers and uv do
    with (
        httpx.Client(timeout=TIMEOUT, follow_redirects=True, verify=trust) as client,
        client.stream("GET", url, headers=headers) as reply,
    ):
        if reply.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the checksum decides
        reply.raise_for_status()
        resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
        have = have if resumed else 0
        total = have + int(reply.headers.get("Content-Length", 0)) or None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None
            ) as bar,
        ):
            for chunk in reply.iter_raw():
                file.write(chunk)
                bar.update(len(chunk))
