"""Which image goes into the training, validation and test split."""

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .dataset import SplitName

Indices = npt.NDArray[np.int64]


def stratified_split(
    labels: npt.NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    is_test: npt.NDArray[np.bool_] | None = None,
) -> dict[SplitName, Indices]:
    """Split each class by the same fractions, with at least one image in each split.

    Args:
        labels: class of each image, (N,).
        validation_fraction: of the images that are not in the test split.
        test_fraction: of all images; not used where `is_test` is given.
        is_test: (N,), true for the images of a data set's own test set, which become the test
            split.

    Returns:
        The row numbers of each split, shuffled; together they are all rows, each once.

    Raises:
        UserError: a class has too few images to be in every split.
    """
    rng = np.random.default_rng(seed)
    parts: dict[SplitName, list[Indices]] = {"train": [], "validation": [], "test": []}
    for label, name in enumerate(classes):
        rows = np.flatnonzero(labels == label)
        if is_test is None:
            test, rest = _cut(rng.permutation(rows), test_fraction, name, num_others=2)
        else:
            test, rest = rows[is_test[rows]], rng.permutation(rows[~is_test[rows]])
        validation, train = _cut(rest, validation_fraction, name, num_others=1)
        parts["train"].append(train)
        parts["validation"].append(validation)
        parts["test"].append(test)
    return {split: rng.permutation(np.concatenate(rows)) for split, rows in parts.items()}


def _cut(rows: Indices, fraction: float, name: str, *, num_others: int) -> tuple[Indices, Indices]:
    """Cut off a fraction of the rows, at least one, and leave at least one for each other split."""
    if len(rows) < 1 + num_others:
        raise UserError(
            f"class {name!r} has too few images: it needs 3, one each to train, validate and test"
        )
    count = min(max(1, round(fraction * len(rows))), len(rows) - num_others)
    return rows[:count], rows[count:]
