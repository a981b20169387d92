"""From official files, or a folder of pictures, to the prepared arrays."""

import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from package_name.config import PrepareConfig
from package_name.data.dataset import SPLITS, load_info, load_split
from package_name.data.download import DownloadError, download
from package_name.data.prepare import prepare
from package_name.data.sources import READERS, fetch
from package_name.data.split import stratified_split
from package_name.errors import UserError

CONFIG = PrepareConfig(
    channels=1,
    image_size=8,
    validation_fraction=0.15,
    test_fraction=0.2,
    limit=None,
    seed=0,
)
CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class RangeHandler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /file with byte ranges; breaks the first answer off half-way."""

    broken_answers = 0
    requested: list[str | None]

    def do_GET(self) -> None:
        if self.path != "/file":
            return self.send_error(404)
        asked = self.headers.get("Range")
        self.requested.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        body = CONTENT[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).broken_answers:
            type(self).broken_answers -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    RangeHandler.requested = []
    RangeHandler.broken_answers = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RangeHandler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_a_download_that_breaks_off_is_resumed_where_it_stopped(
    server: str, tmp_path: Path
) -> None:
    RangeHandler.broken_answers = 1
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


def test_an_address_that_is_wrong_is_said_at_once(server: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404"):
        download(f"{server}/other", tmp_path / "other", SHA256)
    with pytest.raises(DownloadError, match="not a URL"):
        download("nonsense://host/file", tmp_path / "file", SHA256)
    with pytest.raises(DownloadError, match="cannot be read"):
        download((tmp_path / "none").as_uri(), tmp_path / "file", SHA256)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    fetch("digits", None, folder / "raw")
    prepare(READERS["digits"](folder / "raw"), "digits", CONFIG, folder / "prepared")
    return folder / "prepared"


def test_digits_come_without_a_network_and_every_picture_is_in_one_split(digits: Path) -> None:
    info = load_info(digits)
    splits = [load_split(digits, split) for split in SPLITS]
    assert sum(len(split) for split in splits) == 1797
    assert info.classes == tuple("0123456789")
    everything = np.concatenate([split.images for split in splits])
    assert everything.shape == (1797, 1, 8, 8)
    assert len(np.unique(everything.reshape(1797, -1), axis=0)) == 1797
    assert everything.max() == 255


def test_dataset_json_says_what_the_arrays_hold(digits: Path) -> None:
    info = load_info(digits)
    train = load_split(digits, "train")
    assert info.counts["train"]["3"] == int((train.labels == 3).sum())
    assert info.num_images("train") == len(train)
    assert info.mean[0] == pytest.approx(train.images.mean() / 255, abs=1e-5)
    assert info.std[0] == pytest.approx(train.images.std() / 255, abs=1e-5)


def test_preparing_twice_gives_the_same_hash_and_another_split_another(
    digits: Path, tmp_path: Path
) -> None:
    fetch("digits", None, tmp_path / "raw")
    raw = READERS["digits"](tmp_path / "raw")
    again = prepare(raw, "digits", CONFIG, tmp_path / "again")
    other = prepare(raw, "digits", replace(CONFIG, seed=1), tmp_path / "other")
    assert again.content_hash == load_info(digits).content_hash
    assert other.content_hash != again.content_hash


def test_each_class_has_the_same_share_of_each_split() -> None:
    labels = np.repeat([0, 1, 2], [1000, 100, 3])
    rows = stratified_split(
        labels, ("a", "b", "c"), validation_fraction=0.1, test_fraction=0.2, seed=0
    )
    assert sorted(np.concatenate(list(rows.values()))) == list(range(1103))
    assert np.bincount(labels[rows["test"]]).tolist() == [200, 20, 1]
    assert np.bincount(labels[rows["validation"]]).tolist() == [80, 8, 1]


def test_fashion_mnist_is_read_from_its_own_format(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = b"\0\0\x08\x03" + np.array(images.shape, dtype=">u4").tobytes()
        idx = gzip.compress(header + images.tobytes())
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx)
        labels = np.arange(count, dtype=np.uint8) % 10
        header = b"\0\0\x08\x01" + np.array(labels.shape, dtype=">u4").tobytes()
        idx = gzip.compress(header + labels.tobytes())
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx)
    raw = READERS["fashion-mnist"](tmp_path)
    assert np.asarray(raw.images).shape == (30, 28, 28)
    assert raw.is_test is not None
    assert raw.is_test.tolist() == [False] * 20 + [True] * 10
    assert raw.labels.tolist() == [*range(10), *range(10), *range(10)]


def test_cifar10_is_read_from_its_own_format(tmp_path: Path) -> None:
    red = np.concatenate([[7], np.repeat([255, 0, 0], 1024)]).astype(np.uint8)
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        contents = {name: red.tobytes() * 2 for name in names}
        contents["batches.meta.txt"] = "\n".join("abcdefghij").encode()
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    raw = READERS["cifar10"](tmp_path)
    images = np.asarray(raw.images)
    assert images.shape == (12, 32, 32, 3)
    assert np.all(images == [255, 0, 0])
    assert raw.labels.tolist() == [7] * 12
    assert raw.is_test is not None
    assert raw.is_test.sum() == 2


def make_image_folder(folder: Path, num_pictures: int = 6) -> Path:
    """Two classes, red and blue pictures of many sizes and formats."""
    for colour in ("red", "blue"):
        (folder / colour).mkdir(parents=True)
        for number in range(num_pictures):
            image = Image.new("RGB", (20 + number, 30 - number), colour)
            image.save(folder / colour / f"{number}.{('png', 'jpg', 'webp')[number % 3]}")
    return folder


def test_a_folder_of_mixed_pictures_is_prepared(tmp_path: Path) -> None:
    images = make_image_folder(tmp_path / "images")
    (images / "red" / ".hidden.png").write_bytes(b"x")
    (images / "red" / "notes.txt").write_text("not a picture")
    fetch("image-folder", images.as_uri(), tmp_path / "raw")
    config = replace(CONFIG, channels=3)
    raw = READERS["image-folder"](tmp_path / "raw")
    info = prepare(raw, "image-folder", config, tmp_path / "prepared")
    assert info.classes == ("blue", "red")
    train = load_split(tmp_path / "prepared", "train")
    assert train.images.shape[1:] == (3, 8, 8)
    for image, label in zip(train.images, train.labels, strict=True):
        assert image[0 if info.classes[label] == "red" else 2].min() > 250


def test_broken_pictures_are_skipped_counted_and_named(tmp_path: Path) -> None:
    images = make_image_folder(tmp_path / "images")
    (images / "red" / "broken.png").write_bytes(b"not a picture")
    data = (images / "red" / "0.png").read_bytes()
    (images / "red" / "cut.png").write_bytes(data[: len(data) // 2])
    raw = READERS["image-folder"](images)
    info = prepare(raw, "image-folder", CONFIG, tmp_path / "prepared")
    assert sorted(file for file, _ in info.skipped) == ["red/broken.png", "red/cut.png"]
    assert sum(sum(counts.values()) for counts in info.counts.values()) == 12


def test_a_class_with_one_picture_is_an_error_and_nothing_is_left_half_written(
    tmp_path: Path,
) -> None:
    images = make_image_folder(tmp_path / "images")
    for file in list((images / "red").iterdir())[1:]:
        file.unlink()
    raw = READERS["image-folder"](images)
    with pytest.raises(UserError, match="class 'red' has too few pictures"):
        prepare(raw, "image-folder", CONFIG, tmp_path / "prepared")
    assert not list(tmp_path.glob("prepared*"))


def test_a_folder_without_pictures_or_with_one_class_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures in"):
        fetch("image-folder", (tmp_path / "empty").as_uri(), tmp_path / "raw")
    with pytest.raises(UserError, match="no pictures in"):
        fetch("image-folder", (tmp_path / "none").as_uri(), tmp_path / "raw")
    one = make_image_folder(tmp_path / "one")
    (one / "red").rename(tmp_path / "red")
    with pytest.raises(UserError, match="at least two"):
        READERS["image-folder"](one)


def test_a_failed_fetch_leaves_the_data_that_was_there(tmp_path: Path) -> None:
    fetch("digits", None, tmp_path / "raw")
    before = (tmp_path / "raw" / "digits.csv.gz").read_bytes()
    with pytest.raises(DownloadError):
        fetch("digits", (tmp_path / "nowhere").as_uri(), tmp_path / "raw")
    assert (tmp_path / "raw" / "digits.csv.gz").read_bytes() == before


def test_the_data_source_url_goes_before_the_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_URL", (tmp_path / "mirror").as_uri())
    with pytest.raises(DownloadError, match="mirror"):
        fetch("digits", None, tmp_path / "raw")
