"""Which picture goes to training, which to validation, which to the test set."""

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
    """Give each class the same share of each split, and at least one picture in it.

    Args:
        labels: class of each picture, (N,).
        is_test: (N,), true for the pictures of a data set's own test set, if it has one; they are
            the test split then, and `test_fraction` is not used.

    Returns:
        The row numbers of each split, shuffled; together they are all rows, each once.

    Raises:
        UserError: a class has too few pictures to be in every split.
    """
    rng = np.random.default_rng(seed)
    parts: dict[SplitName, list[Indices]] = {"train": [], "validation": [], "test": []}
    for index, name in enumerate(classes):
        rows = np.flatnonzero(labels == index)
        if is_test is None:
            test, rest = _draw(rng.permutation(rows), test_fraction, name, num_others=2)
        else:
            test, rest = rows[is_test[rows]], rng.permutation(rows[~is_test[rows]])
        validation, train = _draw(rest, validation_fraction, name, num_others=1)
        parts["train"].append(train)
        parts["validation"].append(validation)
        parts["test"].append(test)
    return {split: rng.permutation(np.concatenate(rows)) for split, rows in parts.items()}


def _draw(rows: Indices, fraction: float, name: str, *, num_others: int) -> tuple[Indices, Indices]:
    """Cut off a share of the rows, at least one, and leave at least one for each other split."""
    if len(rows) < 1 + num_others:
        raise UserError(
            f"class {name!r} has too few pictures: it needs 3, one each to train, validate and test"
        )
    count = min(max(1, round(fraction * len(rows))), len(rows) - num_others)
    return rows[:count], rows[count:]
