"""`model/reference.json`: what the model says about its validation split, to compare with later.

A sample of N images is a table (N, num_classes + 2): the softmax outputs, then mean and standard
deviation of the image's pixels, on the scale 0 to 255.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from ..files import read_json, reading, write_text

REFERENCE_FILE = "reference.json"
PIXELS = ("brightness", "contrast")
DIGITS = 6  # beyond which outputs depend on the batch and on the processor

FloatArray = npt.NDArray[np.float64]


def measure(images: npt.NDArray[np.uint8], logits: npt.NDArray[np.float32]) -> FloatArray:
    """The sample of images (N, C, H, W) and of what the model says about them."""
    pixels = [(image.mean(), image.std()) for image in images]
    return np.column_stack([softmax(logits.astype(np.float64), axis=1), pixels]).round(DIGITS)


def save_reference(folder: Path, sample: FloatArray, classes: tuple[str, ...]) -> None:
    """Write a sample with the names of its columns."""
    content = {"columns": [*classes, *PIXELS], "rows": sample.tolist()}
    write_text(folder / REFERENCE_FILE, json.dumps(content) + "\n")


def load_reference(folder: Path) -> FloatArray:
    """Read the sample that `save_reference` wrote.

    Raises:
        BrokenFileError: it is not what `save_reference` wrote.
    """
    content = read_json(folder / REFERENCE_FILE)
    with reading(folder / REFERENCE_FILE):
        sample = np.array(content["rows"], dtype=np.float64)
        return sample.reshape(len(sample), len(content["columns"]))
