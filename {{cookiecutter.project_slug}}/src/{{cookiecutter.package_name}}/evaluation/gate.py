"""The gate: whether a candidate is good enough, by itself and compared with the champion."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import EvaluateConfig, GateConfig

TOLERANCE = 1e-9  # for rounding: 0.97 - 0.975 is less than -0.005


@dataclass(frozen=True)
class Result:
    """A model's evaluation.

    Attributes:
        metrics: as in `metrics/evaluation.json`.
        correct: whether each image of the test split was classified correctly, (N,).
    """

    metrics: dict[str, Any]
    correct: npt.NDArray[np.bool_]

    @classmethod
    def from_text(cls, evaluation: str, predictions: str) -> "Result":
        """Parse the contents of `metrics/evaluation.json` and `reports/predictions.csv`."""
        rows = csv.DictReader(io.StringIO(predictions))
        correct = [row["label"] == row["prediction"] for row in rows]
        return cls(json.loads(evaluation), np.array(correct, dtype=np.bool_))


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate passes, and why.

    Attributes:
        above_floor: its accuracy is at least `min_accuracy`.
        close_enough: it is at most `max_accuracy_drop` below the champion's.
        difference: candidate's accuracy minus champion's; 0 without a champion.
        interval: 95 % interval of the difference; None without a champion on the same test set.
    """

    above_floor: bool
    close_enough: bool
    difference: float
    interval: tuple[float, float] | None

    @property
    def passed(self) -> bool:
        return self.above_floor and self.close_enough


def judge(
    candidate: Result, champion: Result | None, gate: GateConfig, evaluate: EvaluateConfig
) -> Verdict:
    """Compare the candidate with the floor and with the champion, if there is one.

    Args:
        evaluate: the resamples behind the interval of the difference, and their seed.
    """
    accuracy = candidate.metrics["accuracy"]
    difference = accuracy - champion.metrics["accuracy"] if champion else 0.0
    interval = None
    if champion and candidate.metrics["test_hash"] == champion.metrics["test_hash"]:
        interval = paired_interval(
            candidate.correct,
            champion.correct,
            num_samples=evaluate.bootstrap_samples,
            seed=evaluate.seed,
        )
    return Verdict(
        above_floor=accuracy >= gate.min_accuracy,
        close_enough=difference >= -gate.max_accuracy_drop - TOLERANCE,
        difference=difference,
        interval=interval,
    )


def paired_interval(
    candidate: npt.NDArray[np.bool_],
    champion: npt.NDArray[np.bool_],
    *,
    num_samples: int,
    seed: int,
) -> tuple[float, float]:
    """Return the 95 % paired bootstrap interval of the difference of two accuracies.

    The difference in a resample depends only on how often it draws an image that one model alone
    classifies correctly, so one multinomial draw stands for a whole resample.

    Args:
        candidate: whether it is right on each image, (N,).
        champion: the same on the same images, (N,).
    """
    num_images = len(candidate)
    only_candidate = np.mean(candidate & ~champion)
    only_champion = np.mean(champion & ~candidate)
    shares = [only_candidate, only_champion, 1 - only_candidate - only_champion]
    counts = np.random.default_rng(seed).multinomial(num_images, shares, size=num_samples)
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / num_images, [2.5, 97.5])
    return float(low), float(high)
