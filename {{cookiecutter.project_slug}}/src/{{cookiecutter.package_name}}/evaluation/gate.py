"""The gate: whether a candidate is good enough, by itself and compared with earlier models.

An earlier model stops the candidate only if the drop is larger than allowed and cannot be chance:
an equal model is stopped in at most `ALPHA` of all cases, whatever the size of the test set
(docs/decisions/gate-by-paired-tests.md).
"""

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

from ..config import EvaluateConfig, GateConfig

ALPHA = 0.05  # of equal models that are stopped, over all tests of one gate
POWER = 0.8  # of the drops that the gate is said to see
TOLERANCE = 1e-9  # for rounding: 0.97 - 0.975 is less than -0.005

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Result:
    """A model's evaluation.

    Attributes:
        metrics: as in `metrics/evaluation.json`.
        labels: true class of each image of the test split, (N,).
        predicted: what the model says, (N,).
        from_feedback: (N,), true for images that users of the service have labelled.
    """

    metrics: dict[str, Any]
    labels: npt.NDArray[np.str_]
    predicted: npt.NDArray[np.str_]
    from_feedback: Flags

    @classmethod
    def from_text(cls, evaluation: str, predictions: str) -> "Result":
        """Parse the contents of `metrics/evaluation.json` and `reports/predictions.csv`."""
        rows = list(csv.DictReader(io.StringIO(predictions)))
        label, predicted = (np.array([row[key] for row in rows]) for key in ("label", "prediction"))
        from_feedback = np.array([row.get("from_feedback") == "1" for row in rows], dtype=np.bool_)
        return cls(json.loads(evaluation), label, predicted, from_feedback)

    @property
    def correct(self) -> Flags:
        """Whether each image was classified correctly, (N,)."""
        return np.asarray(self.predicted == self.labels)


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


@dataclass(frozen=True)
class Comparison:
    """The candidate against one earlier model.

    Attributes:
        name: who that is, such as "the champion".
        accuracy: on the original test images.
        recall: of the classes whose recall drops by more than is allowed, by name.
        production: on the test images from feedback; None if there are none.
        visible_drop: the accuracy's drop that this test set shows in `POWER` of all cases.
    """

    name: str
    accuracy: Drop
    recall: dict[str, Drop]
    production: Drop | None
    visible_drop: float

    @property
    def passed(self) -> bool:
        return not (self.accuracy.is_stopped or self.recall)


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate passes, and why."""

    above_floor: bool
    comparisons: list[Comparison]

    @property
    def passed(self) -> bool:
        return self.above_floor and all(comparison.passed for comparison in self.comparisons)


def judge(
    candidate: Result, earlier: dict[str, Flags], gate: GateConfig, evaluate: EvaluateConfig
) -> Verdict:
    """Compare the candidate with the floor and with earlier models.

    Args:
        earlier: whether each of them is right on the candidate's test images, (N,), by its name.
        evaluate: the resamples behind the intervals, and their seed.
    """
    level = ALPHA / 2 / max(1, len(earlier))  # half for the accuracy, half for all recalls
    comparisons = [
        _compare(name, candidate, correct, level, gate, evaluate)
        for name, correct in earlier.items()
    ]
    return Verdict(candidate.metrics["accuracy"] >= gate.min_accuracy, comparisons)


def _compare(
    name: str,
    candidate: Result,
    correct: Flags,
    level: float,
    gate: GateConfig,
    evaluate: EvaluateConfig,
) -> Comparison:
    def drop(rows: Flags, allowed: float, level: float) -> Drop:
        return measure_drop(
            candidate.correct[rows],
            correct[rows],
            allowed=allowed,
            level=level,
            num_samples=evaluate.bootstrap_samples,
            seed=evaluate.seed,
        )

    original = ~candidate.from_feedback
    classes = np.unique(candidate.labels[original]).tolist()
    recall = {
        label: drop(
            original & (candidate.labels == label), gate.max_recall_drop, level / len(classes)
        )
        for label in classes
    }
    disagreement = float(np.mean(candidate.correct[original] != correct[original]))
    return Comparison(
        name,
        drop(original, gate.max_accuracy_drop, level),
        {label: found for label, found in recall.items() if found.is_stopped},
        drop(candidate.from_feedback, 1.0, level) if candidate.from_feedback.any() else None,
        visible_drop(int(original.sum()), disagreement, level),
    )


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
