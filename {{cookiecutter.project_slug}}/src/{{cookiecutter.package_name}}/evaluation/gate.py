"""The gate: whether a candidate is good enough, by itself and compared with earlier models.

An earlier model stops the candidate only if the drop is larger than allowed and cannot be chance:
an equal model is stopped in at most `ALPHA` of all cases, whatever the size of the test set
(docs/decisions/gate-by-paired-tests.md).
"""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import EvaluateConfig, GateConfig
from .paired import Drop, Flags, measure_drop, visible_drop

ALPHA = 0.05  # of equal models that are stopped, over all tests of one gate
NEVER_STOPPED = 1.0  # as an allowed drop: what is measured with it is reported only


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
    production = None
    if candidate.from_feedback.any():
        production = drop(candidate.from_feedback, NEVER_STOPPED, level)
    disagreement = float(np.mean(candidate.correct[original] != correct[original]))
    return Comparison(
        name,
        drop(original, gate.max_accuracy_drop, level),
        {label: found for label, found in recall.items() if found.is_stopped},
        production,
        visible_drop(int(original.sum()), disagreement, level),
    )
