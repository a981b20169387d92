"""The data sets: where their official files are, and one function each that reads them."""

import gzip
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import numpy.typing as npt

from ..config import DatasetName
from ..errors import UserError
from .download import download

IMAGE_FOLDER = Path("data/images")
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class RawDataset:
    """A data set as its authors give it.

    images: one entry a picture, either a file or pixels uint8 (H, W) or (H, W, 3).
    labels: index into `classes`, (N,). is_test: true for the official test set, (N,), if any.
    """

    classes: tuple[str, ...]
    images: Sequence[Path] | npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    is_test: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class OfficialFile:
    """A published file, and the SHA-256 that it must have."""

    name: str
    sha256: str


OFFICIAL_URLS = {
    # The scans come inside scikit-learn, so they need no network. To import it would take a second.
    "digits": Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data"))).as_uri(),
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "cifar10": "https://www.cs.toronto.edu/~kriz",
}
OFFICIAL_FILES = {
    "digits": [
        OfficialFile(
            "digits.csv.gz",
            "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
        ),
    ],
    "fashion-mnist": [
        OfficialFile(
            "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        OfficialFile(
            "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        OfficialFile(
            "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        OfficialFile(
            "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ],
    "cifar10": [
        OfficialFile(
            "cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ],
}


def fetch(dataset: DatasetName, base_url: str | None, target: Path) -> None:
    """Bring a data set's files to `target`, whole and checked, or leave `target` as it is.

    Args:
        base_url: a mirror or a `file:` folder to read from instead of the official place; the
            environment variable DATA_SOURCE_URL goes before it.

    Raises:
        UserError: a file cannot be had or has the wrong checksum; no pictures in the folder.
    """
    base_url = os.environ.get("DATA_SOURCE_URL") or base_url
    partial = target.with_name("partial")  # not `target`: DVC empties that before each run
    if dataset == "image-folder":
        shutil.rmtree(partial, ignore_errors=True)
        _copy_image_folder(_local_folder(base_url) if base_url else IMAGE_FOLDER, partial)
    else:
        url = (base_url or OFFICIAL_URLS[dataset]).rstrip("/")
        for file in OFFICIAL_FILES[dataset]:
            download(f"{url}/{file.name}", partial / file.name, file.sha256)
        _remove_others(partial, {file.name for file in OFFICIAL_FILES[dataset]})
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def _local_folder(url: str) -> Path:
    if not url.startswith("file:"):
        raise UserError(f"fetch.base_url = {url!r}: an image folder is read from a file: URL only")
    return Path(url2pathname(urlsplit(url).path))


def _copy_image_folder(source: Path, target: Path) -> None:
    if not _picture_files(source):
        raise UserError(
            f"no pictures in {source}: it needs one folder for each class, "
            f"with pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) in it"
        )
    for file in _picture_files(source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _picture_files(folder: Path) -> list[Path]:
    """All pictures below the class folders, hidden files left out, always in the same order."""
    return sorted(
        file
        for file in folder.glob("*/**/*")
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )


def _remove_others(folder: Path, names: set[str]) -> None:
    for file in folder.iterdir():
        if file.name not in names:
            file.unlink()


def read_digits(folder: Path) -> RawDataset:
    """1,797 scans of hand-written digits, 8x8, 17 grey levels (Alpaydin and Kaynak 1998, UCI)."""
    table = np.loadtxt(folder / "digits.csv.gz", delimiter=",", dtype=np.int64)  # (N, 64 + 1)
    images = np.round(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return RawDataset(tuple("0123456789"), images, table[:, 64])


def read_fashion_mnist(folder: Path) -> RawDataset:
    """70,000 pictures of clothes, 28x28 grey (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747)."""
    classes = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    train, test = (_read_idx(folder / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
    labels = [_read_idx(folder / f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")]
    is_test = np.repeat([False, True], [len(train), len(test)])
    return RawDataset(
        classes, np.concatenate([train, test]), np.concatenate(labels).astype(np.int64), is_test
    )


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: a magic number, the big-endian shape, the values."""
    data = gzip.decompress(path.read_bytes())
    num_dimensions = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=num_dimensions, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * num_dimensions).reshape(shape)


def read_cifar10(folder: Path) -> RawDataset:
    """60,000 photographs of animals and vehicles, 32x32 RGB (Krizhevsky 2009)."""
    batches = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    with tarfile.open(folder / "cifar-10-binary.tar.gz") as archive:
        members = {Path(name).name: name for name in archive.getnames()}
        classes = _member(archive, members["batches.meta.txt"]).decode().split()
        rows = [
            np.frombuffer(_member(archive, members[batch]), dtype=np.uint8).reshape(-1, 1 + 3072)
            for batch in batches
        ]
    is_test = np.repeat([False] * 5 + [True], [len(batch) for batch in rows])
    table = np.concatenate(rows)  # (N, label + 3 * 32 * 32)
    images = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return RawDataset(tuple(classes), images, table[:, 0].astype(np.int64), is_test)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def read_image_folder(folder: Path) -> RawDataset:
    """The user's own pictures: one folder a class, named after it."""
    images = _picture_files(folder)
    names = [image.relative_to(folder).parts[0] for image in images]
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        raise UserError(f"only one class folder, {classes[0]!r}: a classifier needs at least two")
    return RawDataset(classes, images, np.array([classes.index(name) for name in names]))


READERS: dict[DatasetName, Callable[[Path], RawDataset]] = {
    "digits": read_digits,
    "fashion-mnist": read_fashion_mnist,
    "cifar10": read_cifar10,
    "image-folder": read_image_folder,
}
