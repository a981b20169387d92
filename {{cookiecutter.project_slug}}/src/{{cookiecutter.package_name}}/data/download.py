"""Download one file, so that it is either there and right, or not there at all."""

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
    """A file that cannot be downloaded, or is not the file that was expected."""


def download(url: str, target: Path, sha256: str) -> None:
    """Download `url` (http, https or file) to `target`, resuming where an earlier try broke off.

    What has arrived is in `target` + `.part` until its SHA-256 is right, and only then renamed: a
    file named `target` is always complete. A file that is already right is not downloaded again.

    Raises:
        DownloadError: not found, no response after five tries, or a SHA-256 other than `sha256`.
    """
    if target.exists() and sha256_of(target) == sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if url.startswith("file:"):
        _copy(path_of(url), part)
    else:
        _receive_with_retries(url, part)
    received = sha256_of(part)
    if received != sha256:
        part.unlink()
        raise DownloadError(
            f"{url} has the SHA-256 {received}, expected {sha256}: it was changed or damaged"
        )
    part.replace(target)


def path_of(file_url: str) -> Path:
    """Return the path that a `file:` URL names."""
    return Path(url2pathname(urlsplit(file_url).path))


def _copy(source: Path, part: Path) -> None:
    try:
        part.write_bytes(source.read_bytes())
    except OSError as error:
        raise DownloadError(f"{source} cannot be read: {error.strerror}") from None


def _receive_with_retries(url: str, part: Path) -> None:
    for num_try in range(1, NUM_TRIES + 1):
        try:
            return _receive(url, part)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise DownloadError(f"{url} is not a URL that can be read: {error}") from None
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status < 500 and status != httpx.codes.TOO_MANY_REQUESTS:
                raise DownloadError(f"{url} returns {status}; is the address right?") from None
            reason = f"the server returns {status}"
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        if num_try < NUM_TRIES:
            time.sleep(0.5 * 2**num_try)
    raise DownloadError(f"{url} could not be downloaded in {NUM_TRIES} tries: {reason}")


def _receive(url: str, part: Path) -> None:
    """Append to `part` what is still missing, or start again if the server cannot resume."""
    size = part.stat().st_size if part.exists() else 0
    # No compression on the way: a part of a compressed response could not be resumed.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
    # The system's certificate authorities, as in browsers and uv: a company's own is among them.
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with (
        httpx.Client(timeout=TIMEOUT, follow_redirects=True, verify=context) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the checksum decides
        response.raise_for_status()
        is_resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        _append(response, part, size if is_resumed else 0)


def _append(response: httpx.Response, part: Path, size: int) -> None:
    """Write the response's body behind the first `size` bytes of `part`, with a progress bar."""
    total = size + int(response.headers.get("Content-Length", 0)) or None
    with (
        part.open("ab" if size else "wb") as file,
        tqdm(
            total=total, initial=size, unit="B", unit_scale=True, desc=part.stem, disable=None
        ) as bar,
    ):
        for chunk in response.iter_raw():
            file.write(chunk)
            bar.update(len(chunk))
