"""Images that are in a data set more than once: a copy must not be in two splits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .split import Indices, Names


@dataclass
class Copies:
    """What is left of images with equal pixels.

    Attributes:
        rows: of the images to use, in their order.
        num_copies: of the images that are left out since an equal one is used.
        contradictions: rows of equal images with different labels, none of which is used.
    """

    rows: Indices
    num_copies: int = 0
    contradictions: list[Indices] = field(default_factory=list)


def leave_out_copies(
    digests: Sequence[str],
    labels: npt.NDArray[np.int64],
    given: Names,
    from_feedback: npt.NDArray[np.bool_],
) -> Copies:
    """Choose one of all images with the same digest of their pixels.

    Args:
        digests: of each image's pixels, N of them.
        labels: class of each image, (N,).
        given: the split that the data set itself puts an image into, or "", (N,).
        from_feedback: (N,).
    """
    _, groups, counts = np.unique(
        np.array(digests, dtype=np.bytes_), return_inverse=True, return_counts=True
    )
    rows = np.flatnonzero(counts[groups] > 1)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    is_used = np.ones(len(labels), dtype=np.bool_)
    found = Copies(rows)
    for equal in np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1) if len(rows) else ():
        chosen = _choose(equal, labels, given, from_feedback)
        is_used[equal] = False
        is_used[chosen] = True
        if len(chosen):
            found.num_copies += len(equal) - len(chosen)
        else:
            found.contradictions.append(equal)
    found.rows = np.flatnonzero(is_used)
    return found


def _choose(
    equal: Indices,
    labels: npt.NDArray[np.int64],
    given: Names,
    from_feedback: npt.NDArray[np.bool_],
) -> Indices:
    """Choose which of these equal images are used; none if their labels contradict each other."""
    test: Indices = equal[given[equal] == "test"]
    if len(test):  # a data set's own test set stays as its authors publish it
        return test
    # What someone says of an image that is in the data set does not change its label there.
    own = equal[~from_feedback[equal]]
    candidates = own if len(own) else equal
    if np.ptp(labels[candidates]) > 0:
        return equal[:0]
    validation = candidates[given[candidates] == "validation"]
    chosen: Indices = (validation if len(validation) else candidates)[:1]
    return chosen
