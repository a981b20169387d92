"""Which split an image goes into: its content decides, so that new images never move old ones."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]

MIN_PER_CLASS = 3  # one each to train, validate and test


def hash_positions(keys: Iterable[str], seed: int) -> npt.NDArray[np.float64]:
    """Place each key between 0 and 1, evenly and always at the same place: (N,)."""
    start = hashlib.sha256(f"{seed}:".encode())
    positions = []
    for key in keys:
        digest = start.copy()
        digest.update(key.encode())
        positions.append(int.from_bytes(digest.digest()[:8], "big") / 2**64)
    return np.array(positions)


def assign_splits(
    positions: npt.NDArray[np.float64],
    given: Names,
    from_feedback: npt.NDArray[np.bool_],
    *,
    validation_fraction: float,
    test_fraction: float,
) -> Names:
    """Name the split of each image: (N,), of "train", "validation" and "test".

    An image that neither comes nor goes never changes its split, whatever happens to the others.
    The price is that a class has its share of a split only as far as chance allows.

    Args:
        positions: of each image between 0 and 1, (N,).
        given: the split that the data set itself puts an image into, or "", (N,).
        from_feedback: (N,); a data set's own test set has none of these, so they get a part of it.
        validation_fraction: of the images that are not in the test split.
        test_fraction: of the images for which the data set has no test set of its own.
    """
    has_own_test = bool(np.any(given == "test"))
    test_until = np.where(from_feedback | (not has_own_test), test_fraction, 0.0)
    validation_until = test_until + (1 - test_until) * validation_fraction
    by_hash = np.select(
        [positions < test_until, positions < validation_until], ["test", "validation"], "train"
    )
    return np.where(given == "", by_hash, given)
