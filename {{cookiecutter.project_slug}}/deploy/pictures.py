"""Test pictures, and the labels that the evaluation saw for them."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

NUM_PICTURES = 20


def labelled_pictures() -> Iterator[tuple[bytes, str]]:
    """PNG files of the first pictures of the test set, and the model's label of each."""
    images = np.load("data/prepared/test_images.npy", mmap_mode="r")
    with Path("reports/predictions.csv").open(encoding="utf-8", newline="") as file:
        labels = [row["prediction"] for row in islice(csv.DictReader(file), NUM_PICTURES)]
    for pixels, label in zip(images, labels, strict=False):
        yield _png(pixels), label


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Pixels (C, H, W) as a PNG file."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
