"""What the prepared arrays hold, in numbers."""

import numpy as np
import numpy.typing as npt

from ..files import sha256
from ..preprocess import ImageSpec
from .dataset import DatasetInfo, Split, SplitName
from .raw import RawDataset


def describe(
    splits: dict[SplitName, Split],
    name: str,
    raw: RawDataset,
    spec: ImageSpec,
    skipped: list[tuple[str, str]],
    num_copies: int,
    from_feedback: dict[SplitName, npt.NDArray[np.bool_]],
) -> DatasetInfo:
    """Count, measure and hash the prepared arrays."""
    mean, std = _mean_and_std(splits["train"].images)
    classes = raw.classes
    content: list[bytes | memoryview] = [repr(classes).encode()]
    counts = {}
    for split, data in splits.items():
        numbers = np.bincount(data.labels, minlength=len(classes)).tolist()
        counts[split] = dict(zip(classes, numbers, strict=True))
        content += [repr(data.images.shape).encode(), data.images.data, data.labels.data]
        content.append(from_feedback[split].data)
    return DatasetInfo(
        name=name,
        classes=classes,
        image=spec,
        counts=counts,
        mean=tuple(mean.round(6).tolist()),
        std=tuple(std.round(6).tolist()),
        skipped=tuple(skipped),
        num_from_feedback={split: int(rows.sum()) for split, rows in from_feedback.items()},
        num_copies=num_copies,
        ignored=raw.ignored,
        content_hash=f"sha256:{sha256(content)}",
    )


def _mean_and_std(
    images: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation of the pixels (N, C, H, W) by channel: (C,), 0 to 1."""
    num_pixels = images.size // images.shape[1]
    # NumPy sums a memory-mapped array through a small buffer, without a copy of it. The sums are
    # whole numbers, so E[x²] - mean² loses no digits here.
    mean = images.sum(axis=(0, 2, 3), dtype=np.int64) / num_pixels
    mean_square = np.einsum("nchw,nchw->c", images, images, dtype=np.int64) / num_pixels
    std = np.sqrt(mean_square - mean**2)
    return mean / 255, np.maximum(std / 255, 1e-6)  # a constant channel is not divided by 0
