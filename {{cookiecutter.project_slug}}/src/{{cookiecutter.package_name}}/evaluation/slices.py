"""Accuracy by slice of the test split, which an average over all images hides.

A slice is a class, a quarter of the images by brightness or size, a source folder, or a value of
an attribute in `data/attributes.csv`: a column `image`, and one for each attribute, by the owner.
"""

import csv
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from ..errors import UserError
from .metrics import accuracy_with_interval
from .paired import ALPHA, TOLERANCE, Flags

MIN_IMAGES = 30  # the 95 % interval of fewer is wider than 30 points around an accuracy of one half
MAX_VALUES = 50  # of an attribute; with more, it is no attribute but a name
NUM_BINS = 4  # of an attribute that is a number, with more values than `FEW`
FEW = 10

Values = npt.NDArray[np.str_]


def read_attributes(origins: Path, attributes: Path) -> dict[str, Values]:
    """Read the attributes of the test split: "" where an image has none, (N,) each.

    Args:
        origins: table with one row for each image, which `prepare` wrote.
        attributes: the owner's own; it names images as `origins` does.

    Raises:
        UserError: the owner's table names none of these images.
    """
    rows, own = _read(origins), _read(attributes)
    by_image = {row["image"]: row for row in own}
    merged = [row | by_image.get(row["image"], {}) for row in rows]
    if own and not by_image.keys() & {row["image"] for row in rows}:
        raise UserError(
            f"{attributes} names no image of the test split; they are called {rows[0]['image']!r}"
        )
    names = dict.fromkeys(name for row in merged for name in row if name != "image")
    return {name: np.array([row.get(name) or "" for row in merged]) for name in names}


def measure_slices(correct: Flags, attributes: dict[str, Values]) -> list[dict[str, Any]]:
    """Measure the accuracy of each slice with its 95 % Wilson interval; the worst comes first."""
    slices = []
    for attribute, value, rows in _find_slices(attributes):
        num_images, num_correct = int(rows.sum()), int(correct[rows].sum())
        slices.append(
            {
                "attribute": attribute,
                "value": value,
                "num_images": num_images,
                "num_correct": num_correct,
                **accuracy_with_interval(num_correct, num_images),
                "is_small": num_images < MIN_IMAGES,
            }
        )
    return sorted(slices, key=lambda found: found["accuracy"])


def weak_slices(
    slices: list[dict[str, Any]], accuracy: float, allowed: float
) -> list[dict[str, Any]]:
    """Return the slices whose accuracy is below that of the whole split by more than is allowed.

    Chance alone stops a model in at most `ALPHA` of all cases: exact binomial tests, with
    Bonferroni's correction for the number of slices.
    """
    limit = max(0.0, accuracy - allowed)

    def is_weak(found: dict[str, Any]) -> bool:
        test = binomtest(found["num_correct"], found["num_images"], limit, alternative="less")
        is_lower: bool = found["accuracy"] < limit - TOLERANCE
        return is_lower and bool(test.pvalue <= ALPHA / len(slices))

    return [found for found in slices if is_weak(found)]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if "image" not in (table.fieldnames or ()):
            raise UserError(f"{path} needs a column `image`")
        return list(table)


def _find_slices(attributes: dict[str, Values]) -> Iterator[tuple[str, str, Flags]]:
    for attribute, values in attributes.items():
        names = values if attribute == "class" else _names(values)
        found = np.unique(names[names != ""])
        if attribute != "class" and len(found) > MAX_VALUES:
            print(f"slices: {attribute} has {len(found)} values, and is left out")
            continue
        for value in found:
            yield attribute, str(value), names == value


def _names(values: Values) -> Values:
    """Return the values, or the quarter that each is in if they are numbers."""
    given = values != ""
    try:
        numbers = values[given].astype(np.float64)
    except ValueError:
        return values
    if len(np.unique(numbers)) <= FEW:
        return values
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, NUM_BINS + 1)))
    bins = np.searchsorted(edges[1:-1], numbers, side="right")
    names = values.astype(object)
    names[given] = np.array([f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)])[bins]
    return names.astype(np.str_)
