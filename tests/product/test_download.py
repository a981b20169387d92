"""Downloads: resumed where they broke off, checked; a wrong address is an error at once."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from my_project.data.download import DownloadError, download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class RangeHandler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /file with byte ranges; breaks the first response off half-way."""

    num_broken = 0
    requested: list[str | None]

    def do_GET(self) -> None:
        if self.path != "/file":
            return self.send_error(404)
        header = self.headers.get("Range")
        self.requested.append(header)
        start = int(header.removeprefix("bytes=").removesuffix("-")) if header else 0
        body = CONTENT[start:]
        self.send_response(206 if header else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).num_broken:
            type(self).num_broken -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    RangeHandler.requested = []
    RangeHandler.num_broken = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RangeHandler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_a_download_that_breaks_off_is_resumed_where_it_stopped(
    server: str, tmp_path: Path
) -> None:
    RangeHandler.num_broken = 1
    download(f"{server}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert RangeHandler.requested == [None, f"bytes={len(CONTENT) // 2}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_an_earlier_run_received_is_not_received_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download(f"{server}/file", tmp_path / "file", SHA256)
    assert RangeHandler.requested == ["bytes=1000-"]
    download(f"{server}/file", tmp_path / "file", SHA256)
    assert len(RangeHandler.requested) == 1


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="SHA-256"):
        download(f"{server}/file", tmp_path / "file", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_address_is_an_error_at_once(server: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404"):
        download(f"{server}/other", tmp_path / "other", SHA256)
    with pytest.raises(DownloadError, match="not a URL"):
        download("nonsense://host/file", tmp_path / "file", SHA256)
    with pytest.raises(DownloadError, match="cannot be read"):
        download((tmp_path / "none").as_uri(), tmp_path / "file", SHA256)
