"""scikit-learn's scanned digits: real images that need no network."""

import functools

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from package_name.data.dataset import Split


@functools.cache
def digit_images() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Pixels (N, 8, 8) in 0 to 255, and labels (N,)."""
    data = load_digits()
    return np.round(data.images * (255 / 16)).astype(np.uint8), data.target.astype(np.int64)


def digits(start: int, stop: int) -> Split:
    """Some of them as a split: uint8 (N, 1, 8, 8)."""
    images, labels = digit_images()
    return Split(images[start:stop, None], labels[start:stop])
