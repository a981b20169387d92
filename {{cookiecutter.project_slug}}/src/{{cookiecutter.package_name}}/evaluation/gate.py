"""The gate: whether a candidate is good enough, by itself and beside the champion."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import GateConfig


@dataclass(frozen=True)
class Result:
    """A model's evaluation. metrics: as in `metrics/evaluation.json`. correct: (N,)."""

    metrics: dict[str, Any]
    correct: npt.NDArray[np.bool_]

    @classmethod
    def from_text(cls, evaluation: str, predictions: str) -> "Result":
        """Read the contents of `metrics/evaluation.json` and `reports/predictions.csv`."""
        rows = csv.DictReader(io.StringIO(predictions))
        correct = [row["label"] == row["prediction"] for row in rows]
        return cls(json.loads(evaluation), np.array(correct, dtype=np.bool_))


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate goes through, and why.

    difference: of the accuracies, candidate minus champion, and its 95 % interval, if the test set
    is the same; 0 and None without a champion.
    """

    above_floor: bool
    close_enough: bool
    difference: float
    interval: tuple[float, float] | None

    @property
    def passed(self) -> bool:
        return self.above_floor and self.close_enough


def paired_interval(
    candidate: npt.NDArray[np.bool_],
    champion: npt.NDArray[np.bool_],
    *,
    num_samples: int,
    seed: int,
) -> tuple[float, float]:
    """95 % paired bootstrap interval of the difference of two accuracies on the same images.

    A resample's difference depends only on how often it draws an image that the one model, the
    other, or neither alone gets right: one multinomial draw. candidate, champion: (N,).
    """
    num_images = len(candidate)
    only_candidate = np.mean(candidate & ~champion)
    only_champion = np.mean(champion & ~candidate)
    shares = [only_candidate, only_champion, 1 - only_candidate - only_champion]
    counts = np.random.default_rng(seed).multinomial(num_images, shares, size=num_samples)
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / num_images, [2.5, 97.5])
    return float(low), float(high)


def judge(
    candidate: Result,
    champion: Result | None,
    config: GateConfig,
    *,
    num_samples: int,
    seed: int,
) -> Verdict:
    """Hold the candidate to the floor and, where there is one, to the champion.

    It fails below `min_accuracy`, and where it is more than `max_accuracy_drop` worse than the
    champion.
    """
    accuracy = candidate.metrics["accuracy"]
    difference = accuracy - champion.metrics["accuracy"] if champion else 0.0
    above_floor = accuracy >= config.min_accuracy
    close_enough = difference >= -config.max_accuracy_drop - 1e-9  # 0.97 - 0.975 < -0.005
    interval = None
    if champion and candidate.metrics["test_hash"] == champion.metrics["test_hash"]:
        interval = paired_interval(
            candidate.correct, champion.correct, num_samples=num_samples, seed=seed
        )
    return Verdict(above_floor, close_enough, difference, interval)
