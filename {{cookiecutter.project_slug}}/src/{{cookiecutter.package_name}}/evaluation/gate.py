"""The gate: whether a candidate is good enough, by itself and compared with earlier models.

An earlier model stops the candidate only if the drop is larger than allowed and cannot be chance:
an equal model is stopped in at most `ALPHA` of all cases, by all these tests together,
whatever the size of the test set (docs/decisions/gate-by-paired-tests.md). The slices have an
`ALPHA` of their own.
"""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import EvaluateConfig, GateConfig
from ..files import reading
from ..paths import EVALUATION, PREDICTIONS
from .paired import ALPHA, Drop, Flags, measure_drop, visible_drop
from .slices import weak_slices

NEVER_STOPPED = 1.0  # an allowed drop that is never reached: for what is only reported


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
        """Parse the contents of `metrics/evaluation.json` and `reports/predictions.csv`.

        Raises:
            BrokenFileError: they are not what `evaluate` writes.
        """
        with reading(EVALUATION):
            metrics = json.loads(evaluation)
            if not 0 <= metrics["accuracy"] <= 1:
                raise ValueError(f"accuracy = {metrics['accuracy']}")
        with reading(PREDICTIONS):
            rows = list(csv.DictReader(io.StringIO(predictions)))
            columns = [[row[key] for row in rows] for key in ("label", "prediction")]
            label, predicted = np.array(columns, dtype=np.str_)
        from_feedback = np.array([row.get("from_feedback") == "1" for row in rows], dtype=np.bool_)
        return cls(metrics, label, predicted, from_feedback)

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
        recall: of the classes whose recall drops by more than is allowed and than chance explains.
        production: on the test images from feedback; None if there are none.
        visible_drop: the accuracy's drop that this test set shows in `POWER` of all cases.
        smallest: the class with the fewest original test images, and how many it has.
        visible_recall_drop: the drop of its recall, likewise.
    """

    name: str
    accuracy: Drop
    recall: dict[str, Drop]
    production: Drop | None
    visible_drop: float
    smallest: tuple[str, int]
    visible_recall_drop: float

    @property
    def passed(self) -> bool:
        return not (self.accuracy.is_stopped or self.recall)


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate passes, and why.

    Attributes:
        untested: classes without an original test image, whose recall nothing is known about.
        weak_slices: those below the limit for slices, if there is one.
    """

    above_floor: bool
    comparisons: list[Comparison]
    untested: list[str]
    weak_slices: list[dict[str, Any]]

    @property
    def passed(self) -> bool:
        passed_comparisons = all(comparison.passed for comparison in self.comparisons)
        return self.above_floor and passed_comparisons and not self.weak_slices


def judge(
    candidate: Result,
    earlier: dict[str, Flags],
    gate: GateConfig,
    evaluate: EvaluateConfig,
    max_slice_drop: float | None = None,
) -> Verdict:
    """Compare the candidate with the floor, with earlier models, and its slices with their limit.

    Args:
        earlier: whether each of them is right on the candidate's test images, (N,), by its name.
        evaluate: the resamples behind the intervals, and their seed.
        max_slice_drop: below the accuracy on all images; None for no limit.
    """
    level = ALPHA / 2 / max(1, len(earlier))  # half for the accuracy, half for all recalls
    comparisons = [
        _compare(name, candidate, correct, level, gate, evaluate)
        for name, correct in earlier.items()
    ]
    per_class = candidate.metrics.get("per_class", {})
    untested = [name for name, scores in per_class.items() if not scores["support"]]
    accuracy, slices = candidate.metrics["accuracy"], candidate.metrics.get("slices", [])
    weak = [] if max_slice_drop is None else weak_slices(slices, accuracy, max_slice_drop)
    return Verdict(accuracy >= gate.min_accuracy, comparisons, untested, weak)


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

    def visible(rows: Flags, level: float) -> float:
        disagreement = float(np.mean(candidate.correct[rows] != correct[rows]))
        return visible_drop(int(rows.sum()), disagreement, level)

    original = ~candidate.from_feedback
    classes = {
        label: original & (candidate.labels == label)
        for label in np.unique(candidate.labels[original]).tolist()
    }
    recall_level = level / len(classes)
    recall = {
        label: drop(rows, gate.max_recall_drop, recall_level) for label, rows in classes.items()
    }
    smallest = min(classes, key=lambda label: int(classes[label].sum()))
    production = None
    if candidate.from_feedback.any():
        production = drop(candidate.from_feedback, NEVER_STOPPED, level)
    return Comparison(
        name,
        drop(original, gate.max_accuracy_drop, level),
        {label: found for label, found in recall.items() if found.is_stopped},
        production,
        visible(original, level),
        (smallest, int(classes[smallest].sum())),
        visible(classes[smallest], recall_level),
    )
