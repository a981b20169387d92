"""The data sets: where their official files are, and one function each that reads them."""

import gzip
import tarfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..config import DatasetName
from .image_folder import read_image_folder
from .raw import RawDataset

OFFICIAL_URLS = {
    # Inside scikit-learn, so no network is needed. Not by importing it, which takes a second.
    "digits": Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data"))).as_uri(),
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "cifar10": "https://www.cs.toronto.edu/~kriz",
}
OFFICIAL_FILES = {  # as `sha256sum` prints them
    "digits": """
        09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22  digits.csv.gz
    """,
    "fashion-mnist": """
        3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84  train-images-idx3-ubyte.gz
        a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845  train-labels-idx1-ubyte.gz
        346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073  t10k-images-idx3-ubyte.gz
        67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5  t10k-labels-idx1-ubyte.gz
    """,
    "cifar10": """
        c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd  cifar-10-binary.tar.gz
    """,
}


def official_files(dataset: DatasetName) -> dict[str, str]:
    """Return the SHA-256 of each official file by its name."""
    words = OFFICIAL_FILES[dataset].split()
    return dict(zip(words[1::2], words[::2], strict=True))


def read_digits(folder: Path) -> RawDataset:
    """1,797 scans of handwritten digits, 8x8, 17 grey levels (Alpaydin and Kaynak 1998, UCI)."""
    table = np.loadtxt(folder / "digits.csv.gz", delimiter=",", dtype=np.int64)  # (N, 64 + 1)
    images = np.round(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return RawDataset.without_feedback(tuple("0123456789"), images, table[:, 64])


def read_fashion_mnist(folder: Path) -> RawDataset:
    """70,000 images of clothes, 28x28 grey (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747)."""
    classes = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    train, test = (_read_idx(folder / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
    labels = [_read_idx(folder / f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")]
    splits = np.repeat(["", "test"], [len(train), len(test)])
    return RawDataset.without_feedback(
        classes, np.concatenate([train, test]), np.concatenate(labels).astype(np.int64), splits
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
        classes = _read_member(archive, members["batches.meta.txt"]).decode().split()
        rows = [
            np.frombuffer(_read_member(archive, members[batch]), np.uint8).reshape(-1, 1 + 3072)
            for batch in batches
        ]
    splits = np.repeat([""] * 5 + ["test"], [len(batch) for batch in rows])
    table = np.concatenate(rows)  # (N, label + 3 * 32 * 32)
    images = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = table[:, 0].astype(np.int64)
    return RawDataset.without_feedback(tuple(classes), images, labels, splits)


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


READERS: dict[DatasetName, Callable[[Path], RawDataset]] = {
    "digits": read_digits,
    "fashion-mnist": read_fashion_mnist,
    "cifar10": read_cifar10,
    "image-folder": read_image_folder,
}
