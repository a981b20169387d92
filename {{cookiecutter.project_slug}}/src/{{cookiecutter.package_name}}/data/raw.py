"""A data set before it is prepared: images and labels as they were published."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .split import Names


@dataclass(frozen=True)
class RawDataset:
    """A data set as its authors publish it.

    Attributes:
        images: one entry for each image: the path of a file, or pixels uint8 (H, W) or (H, W, 3).
        labels: index into `classes`, (N,).
        splits: the split that the data set itself puts an image into, or "", (N,).
        from_feedback: (N,), true for what users of the service have labelled.
        ignored: number of files that are no images of a known format, by suffix.
    """

    classes: tuple[str, ...]
    images: Sequence[str | npt.NDArray[np.uint8]] | npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    splits: Names
    from_feedback: npt.NDArray[np.bool_]
    ignored: dict[str, int] = field(default_factory=dict)

    @classmethod
    def without_feedback(
        cls,
        classes: tuple[str, ...],
        images: Sequence[str] | npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        splits: Names | None = None,
        ignored: dict[str, int] | None = None,
    ) -> "RawDataset":
        """A data set as it was published; without `splits`, it has none of its own."""
        none = np.full(len(labels), "")
        return cls(
            classes,
            images,
            labels,
            none if splits is None else splits,
            np.zeros(len(labels), dtype=np.bool_),
            ignored or {},
        )
