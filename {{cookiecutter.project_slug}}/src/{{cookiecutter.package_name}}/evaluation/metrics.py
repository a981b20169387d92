"""How good the predictions are, and how precisely a test set of this size can tell."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from scipy.stats import binomtest

from ..config import EvaluateConfig
from .calibration import calibration_error_by_chance, reliability

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rows = IntArray | slice  # of the test split; a resample may hold a row more than once

BOOTSTRAPPED = ("precision_macro", "recall_macro", "f1_macro", "nll")
HEADLINE = ("accuracy", *BOOTSTRAPPED, "ece")
NUM_CALIBRATED = 200  # simulations behind `ece_chance`
ALL = slice(None)
DIGITS = 6


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for a test split.

    Attributes:
        logits: (N, num_classes).
        labels: the true classes, (N,).
    """

    logits: npt.NDArray[np.float32]
    labels: IntArray

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: npt.NDArray[np.bool_]) -> "Predictions":
        """Those rows alone."""
        return Predictions(self.logits[rows], self.labels[rows])

    @cached_property
    def log_probabilities(self) -> FloatArray:
        return np.asarray(log_softmax(self.logits.astype(np.float64), axis=1))

    @cached_property
    def predicted(self) -> IntArray:
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def confidence(self) -> FloatArray:
        """Probability of the predicted class, (N,)."""
        return np.asarray(np.exp(self.log_probabilities.max(axis=1)))

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.predicted == self.labels)

    @cached_property
    def nll(self) -> FloatArray:
        """Negative log-likelihood of each image's true class in nats, (N,)."""
        return -self.log_probabilities[np.arange(len(self)), self.labels]


def compute_metrics(
    predictions: Predictions, classes: tuple[str, ...], config: EvaluateConfig
) -> dict[str, Any]:
    """Return each metric of `HEADLINE`, its interval as `{name}_ci95`, and `per_class`.

    The calibration error has no interval, since resampling adds to it. Beside it is `ece_chance`:
    the mean of what it would be with as many images if the model were calibrated.
    """
    values = headline_metrics(predictions, config.num_bins)
    metrics: dict[str, Any] = {name: round(value, DIGITS) for name, value in values.items()}
    chance = calibration_error_by_chance(
        predictions.confidence, config.num_bins, NUM_CALIBRATED, config.seed
    )
    metrics |= {"ece_chance": round(chance, DIGITS)} | measure_accuracy(predictions)
    metrics |= bootstrap_intervals(predictions, config)
    return metrics | {"per_class": per_class_metrics(predictions, classes)}


def measure_production(predictions: Predictions) -> dict[str, Any] | None:
    """Measure the images from feedback; None if there are none."""
    if not len(predictions):
        return None
    return {"num_images": len(predictions)} | measure_accuracy(predictions)


def measure_accuracy(predictions: Predictions) -> dict[str, Any]:
    """Return the accuracy and its interval."""
    return accuracy_with_interval(int(predictions.correct.sum()), len(predictions))


def headline_metrics(predictions: Predictions, num_bins: int, rows: Rows = ALL) -> dict[str, float]:
    """Compute the metrics of `HEADLINE` for some rows.

    A macro average is over the classes that these rows have.
    """
    labels, predicted = predictions.labels[rows], predictions.predicted[rows]
    correct = predictions.correct[rows]
    scores = class_scores(labels, predicted, predictions.logits.shape[1])
    has_images = scores[-1] > 0
    bins = reliability(predictions.confidence[rows], correct, num_bins)
    values = (
        correct.mean(),
        *scores[:3, has_images].mean(axis=1),
        predictions.nll[rows].mean(),
        bins.expected_calibration_error,
    )
    return dict(zip(HEADLINE, map(float, values), strict=True))


def accuracy_with_interval(num_correct: int, num_images: int) -> dict[str, Any]:
    """Return the accuracy and its 95 % Wilson interval: Wilson 1927, doi:10.2307/2276774.

    Where all images are right, a bootstrap would say that the accuracy is 1, however few they are.
    """
    found = binomtest(num_correct, num_images)
    low, high = found.proportion_ci(method="wilson")
    return {
        "accuracy": round(found.statistic, DIGITS),
        "accuracy_ci95": [round(low, DIGITS), round(high, DIGITS)],
    }


def class_scores(labels: IntArray, predicted: IntArray, num_classes: int) -> FloatArray:
    """Return precision, recall, F1 and support (number of images) by class: (4, num_classes).

    They equal scikit-learn's `precision_recall_fscore_support` with `zero_division=0`, which takes
    some hundred times as long; each of the bootstrap's thousand resamples calls this.
    """
    support, num_predicted, true_positives = (
        np.bincount(values, minlength=num_classes)
        for values in (labels, predicted, labels[labels == predicted])
    )
    precision = true_positives / np.maximum(num_predicted, 1)
    recall = true_positives / np.maximum(support, 1)
    f1 = 2 * true_positives / np.maximum(support + num_predicted, 1)
    return np.stack([precision, recall, f1, support])


def per_class_metrics(
    predictions: Predictions, classes: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and support of each class by its name."""
    scores = class_scores(predictions.labels, predictions.predicted, len(classes))
    rows = zip(classes, scores.T.round(DIGITS).tolist(), strict=True)
    return {
        name: {"precision": precision, "recall": recall, "f1": f1, "support": int(support)}
        for name, (precision, recall, f1, support) in rows
    }


def bootstrap_intervals(predictions: Predictions, config: EvaluateConfig) -> dict[str, list[float]]:
    """Return the 95 % percentile bootstrap interval of each of `BOOTSTRAPPED` (Efron 1979).

    The same seed gives the same intervals.

    Returns:
        `[low, high]` by `{name}_ci95`.
    """
    rng = np.random.default_rng(config.seed)
    num_images = len(predictions)
    values = []
    for _ in range(config.bootstrap_samples):
        rows = rng.integers(num_images, size=num_images)
        values.append(list(headline_metrics(predictions, config.num_bins, rows).values()))
    intervals = np.percentile(values, [2.5, 97.5], axis=0).round(DIGITS).T  # (6, 2)
    rows_by_name = dict(zip(HEADLINE, intervals.tolist(), strict=True))
    return {f"{name}_ci95": rows_by_name[name] for name in BOOTSTRAPPED}
