"""How good the predictions are, and how sure one can be of it from a test set of this size."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.metrics import precision_recall_fscore_support

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rows = IntArray | slice  # of a test set; drawn with replacement, a row may come more than once

HEADLINE = ("accuracy", "precision_macro", "recall_macro", "f1_macro", "nll", "ece")
ALL = slice(None)
DIGITS = 6


@dataclass(frozen=True)
class Predictions:
    """A model's answers on a test set. logits: (N, K). labels: (N,), the true classes."""

    logits: npt.NDArray[np.float32]
    labels: IntArray

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def log_probabilities(self) -> FloatArray:
        return np.asarray(log_softmax(self.logits.astype(np.float64), axis=1))

    @cached_property
    def predicted(self) -> IntArray:
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def confidence(self) -> FloatArray:
        return np.asarray(np.exp(self.log_probabilities.max(axis=1)))

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.predicted == self.labels)

    @cached_property
    def nll(self) -> FloatArray:
        """Negative log-likelihood of each image's true class, in nats."""
        return -self.log_probabilities[np.arange(len(self)), self.labels]


@dataclass(frozen=True)
class Reliability:
    """Stated confidence against accuracy, in bins of equal width.

    count, confidence, accuracy: (num_bins,); the means of an empty bin are NaN.
    """

    count: IntArray
    confidence: FloatArray
    accuracy: FloatArray


def bin_of(confidence: FloatArray, num_bins: int) -> IntArray:
    """Bin of each confidence: bin `m` holds those in (m / num_bins, (m + 1) / num_bins]."""
    return np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)


def reliability(
    confidence: FloatArray, correct: npt.NDArray[np.bool_], num_bins: int
) -> Reliability:
    """Compute the reliability diagram's numbers (Guo et al. 2017, arXiv:1706.04599)."""
    bins = bin_of(confidence, num_bins)
    count = np.bincount(bins, minlength=num_bins)
    sums = (np.bincount(bins, values, num_bins) for values in (confidence, correct))
    with np.errstate(invalid="ignore"):
        return Reliability(count, *(total / count for total in sums))


def expected_calibration_error(predictions: Predictions, num_bins: int, rows: Rows = ALL) -> float:
    """Average the bins' distance of confidence and accuracy by their size (Guo et al. 2017)."""
    bins = reliability(predictions.confidence[rows], predictions.correct[rows], num_bins)
    gaps = np.abs(bins.accuracy - bins.confidence)
    return float(np.nansum(bins.count * gaps) / bins.count.sum())


def headline_metrics(predictions: Predictions, num_bins: int, rows: Rows = ALL) -> dict[str, float]:
    """Compute what `HEADLINE` names; macro means are over the classes that the rows have."""
    labels, predicted = predictions.labels[rows], predictions.predicted[rows]
    num_classes = predictions.logits.shape[1]
    support, answers, hits = (
        np.bincount(values, minlength=num_classes)
        for values in (labels, predicted, labels[labels == predicted])
    )
    present = support > 0
    values = (
        hits.sum() / len(labels),
        (hits / np.maximum(answers, 1))[present].mean(),
        (hits / np.maximum(support, 1))[present].mean(),
        (2 * hits / np.maximum(support + answers, 1))[present].mean(),
        predictions.nll[rows].mean(),
        expected_calibration_error(predictions, num_bins, rows),
    )
    return dict(zip(HEADLINE, map(float, values), strict=True))


def per_class_metrics(
    predictions: Predictions, classes: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and the number of test images (support) of each class."""
    columns = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=np.arange(len(classes)), zero_division=0
    )
    rows = zip(*(column.round(DIGITS).tolist() for column in columns), strict=True)
    names = ("precision", "recall", "f1", "support")
    return {
        name: dict(zip(names, row, strict=True)) for name, row in zip(classes, rows, strict=True)
    }


def bootstrap_intervals(
    predictions: Predictions, num_bins: int, num_samples: int, seed: int
) -> dict[str, list[float]]:
    """95 % percentile bootstrap interval of each headline metric (Efron 1979), by `{name}_ci95`.

    The same seed gives the same intervals.
    """
    rng = np.random.default_rng(seed)
    num_images = len(predictions)
    resamples = (rng.integers(num_images, size=num_images) for _ in range(num_samples))
    values = [list(headline_metrics(predictions, num_bins, rows).values()) for rows in resamples]
    intervals = np.percentile(values, [2.5, 97.5], axis=0).round(DIGITS).T  # (6, 2)
    return {f"{name}_ci95": row for name, row in zip(HEADLINE, intervals.tolist(), strict=True)}


def evaluate(
    predictions: Predictions,
    classes: tuple[str, ...],
    *,
    num_bins: int,
    num_samples: int,
    seed: int,
) -> dict[str, Any]:
    """Headline metrics, each followed by its interval, and `per_class`."""
    values = headline_metrics(predictions, num_bins)
    intervals = bootstrap_intervals(predictions, num_bins, num_samples, seed)
    report: dict[str, Any] = {}
    for name, value in values.items():
        report[name] = round(value, DIGITS)
        report[f"{name}_ci95"] = intervals[f"{name}_ci95"]
    return report | {"per_class": per_class_metrics(predictions, classes)}
