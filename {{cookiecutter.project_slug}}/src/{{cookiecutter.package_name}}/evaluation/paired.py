"""Two models on the same images: the difference of their accuracies, and whether it is chance."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

ALPHA = 0.05  # the share of equally good models that the gate stops, at most
POWER = 0.8  # of the drops that a test is said to see
TOLERANCE = 1e-9  # for rounding: 0.97 - 0.975 is less than -0.005

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drop:
    """The candidate against another model on the same images.

    Attributes:
        difference: candidate's accuracy minus the other's.
        interval: its 95 % interval.
        p_value: how often models that are equal differ by as much, in this direction.
        is_stopped: the drop is larger than allowed, and `p_value` below the level of the test.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    is_stopped: bool


def measure_drop(
    candidate: Flags, other: Flags, *, allowed: float, level: float, num_samples: int, seed: int
) -> Drop:
    """Test whether a model is worse than another on the same images.

    The p-value is that of the exact one-sided McNemar test (1947): of the images that one model
    alone classifies correctly, equal models have half each.

    Args:
        candidate: whether it is right on each image, (N,).
        other: the same of the other model.
        allowed: drop that does not count.
        level: of the test.
    """
    only_candidate = int(np.sum(candidate & ~other))
    only_other = int(np.sum(other & ~candidate))
    discordant = only_candidate + only_other
    p_value = 1.0
    if discordant:
        p_value = float(binomtest(only_candidate, discordant, alternative="less").pvalue)
    difference = (only_candidate - only_other) / len(candidate)
    interval = paired_interval(candidate, other, num_samples=num_samples, seed=seed)
    is_larger = difference < -allowed - TOLERANCE
    return Drop(difference, interval, p_value, is_larger and p_value <= level)


def visible_drop(num_images: int, disagreement: float, level: float) -> float:
    """Return the drop in accuracy that the test sees in `POWER` of all cases.

    Args:
        disagreement: share of the images that one of the two models alone classifies correctly.
    """
    z = float(norm.isf(level) + norm.ppf(POWER))
    # A drop is at least as much disagreement, which bounds it from below.
    return max(z * math.sqrt(disagreement / num_images), z**2 / num_images)


def paired_interval(
    candidate: Flags, other: Flags, *, num_samples: int, seed: int
) -> tuple[float, float]:
    """Return the 95 % paired bootstrap interval of the difference of two accuracies.

    The difference in a resample depends only on how often it draws an image that one model alone
    classifies correctly, so one multinomial draw stands for a whole resample.

    Args:
        candidate: whether it is right on each image, (N,).
        other: the same of the other model.
    """
    num_images = len(candidate)
    only_candidate = np.mean(candidate & ~other)
    only_other = np.mean(other & ~candidate)
    shares = [only_candidate, only_other, 1 - only_candidate - only_other]
    counts = np.random.default_rng(seed).multinomial(num_images, shares, size=num_samples)
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / num_images, [2.5, 97.5])
    return float(low), float(high)
