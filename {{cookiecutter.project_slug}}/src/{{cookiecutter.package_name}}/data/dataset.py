"""The prepared data set: memory-mapped arrays and `dataset.json`, one format for every source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from ..errors import UserError
from ..files import read_json, reading
from ..preprocess import ImageSpec

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images and their labels, row by row.

    Attributes:
        images: uint8 (N, C, H, W), memory-mapped.
        labels: index of each image's class, int64 (N,).
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: npt.NDArray[np.bool_]) -> "Split":
        """Those rows alone; without a copy if they are all."""
        return self if rows.all() else Split(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class DatasetInfo:
    """The content of `dataset.json`.

    Attributes:
        counts: number of images by split and class.
        mean: of the training pixels by channel, on the scale 0 to 1.
        std: standard deviation of the same.
        skipped: images that could not be used, each with the reason.
        num_from_feedback: number of images that users of the service have labelled, by split.
        num_copies: images that are left out since another one has the same pixels.
        ignored: number of files that are no images of a known format, by suffix.
        content_hash: SHA-256 over all arrays; data sets with the same hash are the same data.
    """

    name: str
    classes: tuple[str, ...]
    image: ImageSpec
    counts: dict[SplitName, dict[str, int]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    skipped: tuple[tuple[str, str], ...]
    num_from_feedback: dict[SplitName, int]
    num_copies: int
    ignored: dict[str, int]
    content_hash: str

    def num_images(self, split: SplitName) -> int:
        return sum(self.counts[split].values())

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "DatasetInfo":
        """Undo `dataclasses.asdict`; tuples may have become lists, as in JSON."""
        return TypeAdapter(cls).validate_python(fields)


def load_info(folder: Path) -> DatasetInfo:
    """Read `dataset.json` from the folder that the `prepare` stage wrote.

    Raises:
        UserError: there is no such file, or a broken one; prepare the data first.
    """
    file = folder / "dataset.json"
    if not file.exists():
        raise UserError(f"{file} not found: prepare the data first, with `make data`")
    fields = read_json(file)
    with reading(file):
        return DatasetInfo.from_dict(fields)


def load_split(folder: Path, split: SplitName) -> Split:
    """Open one split without reading its images: they stay on the disk until they are indexed."""
    images = np.load(folder / f"{split}_images.npy", mmap_mode="r")
    labels = np.load(folder / f"{split}_labels.npy")
    return Split(images, labels)


def load_from_feedback(folder: Path, split: SplitName) -> npt.NDArray[np.bool_]:
    """Read which images of a split came from feedback: (N,)."""
    from_feedback: npt.NDArray[np.bool_] = np.load(folder / f"{split}_from_feedback.npy")
    return from_feedback
