"""How good the predictions are, and how sure one can be of it from a test set of this size."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HEADLINE = ("accuracy", "precision_macro", "recall_macro", "f1_macro", "nll", "ece")
BATCH_WEIGHTS = 2_000_000  # resampling weights held at a time: 16 MB
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


def reliability(predictions: Predictions, num_bins: int) -> Reliability:
    """Compute the reliability diagram's numbers (Guo et al. 2017, arXiv:1706.04599)."""
    bins = bin_of(predictions.confidence, num_bins)
    count = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, predictions.confidence, num_bins) / count
        accuracy = np.bincount(bins, predictions.correct, num_bins) / count
    return Reliability(count, confidence, accuracy)


def expected_calibration_error(predictions: Predictions, num_bins: int) -> float:
    """Average the bins' distance of confidence and accuracy by their size (Guo et al. 2017)."""
    bins = reliability(predictions, num_bins)
    gaps = np.abs(bins.accuracy - bins.confidence)
    return float(np.nansum(bins.count * gaps) / len(predictions))


def headline_metrics(predictions: Predictions, num_bins: int) -> dict[str, float]:
    """Compute what `HEADLINE` names; macro means are over the classes that the test set has."""
    labels, predicted = predictions.labels, predictions.predicted
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
    )
    values = (
        accuracy_score(labels, predicted),
        precision,
        recall,
        f1,
        predictions.nll.mean(),
        expected_calibration_error(predictions, num_bins),
    )
    return dict(zip(HEADLINE, map(float, values), strict=True))


def per_class_metrics(
    predictions: Predictions, classes: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and the number of test images (support) of each class."""
    columns = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=np.arange(len(classes)), zero_division=0
    )
    return {
        name: {
            "precision": round(float(precision), DIGITS),
            "recall": round(float(recall), DIGITS),
            "f1": round(float(f1), DIGITS),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    }


def bootstrap_intervals(
    predictions: Predictions, num_bins: int, num_samples: int, seed: int
) -> dict[str, list[float]]:
    """95 % percentile bootstrap interval of each headline metric (Efron 1979).

    Every metric is a function of sums over the images, so all resamples of a batch are one matrix
    product of weights (how often an image was drawn) and per-image terms. The same seed gives the
    same intervals.
    """
    terms = _image_terms(predictions, num_bins)
    rng = np.random.default_rng(seed)
    batch_size = max(1, BATCH_WEIGHTS // len(predictions))
    batches = [
        _metrics_of_sums(
            _draw_weights(rng, min(batch_size, num_samples - start), len(predictions)) @ terms,
            len(predictions),
            num_bins,
        )
        for start in range(0, num_samples, batch_size)
    ]
    low, high = np.percentile(np.concatenate(batches), [2.5, 97.5], axis=0)  # each (6,)
    return {
        f"{name}_ci95": [round(float(low[i]), DIGITS), round(float(high[i]), DIGITS)]
        for i, name in enumerate(HEADLINE)
    }


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
    for name in HEADLINE:
        report[name] = round(values[name], DIGITS)
        report[f"{name}_ci95"] = intervals[f"{name}_ci95"]
    return report | {"per_class": per_class_metrics(predictions, classes)}


def _draw_weights(rng: np.random.Generator, num_samples: int, num_images: int) -> FloatArray:
    """How often each image is drawn in each resample: (num_samples, num_images)."""
    weights = np.empty((num_samples, num_images))
    for row in weights:
        row[:] = np.bincount(rng.integers(num_images, size=num_images), minlength=num_images)
    return weights


def _image_terms(predictions: Predictions, num_bins: int) -> FloatArray:
    """Lay out what each image adds to the sums: (N, 1 + num_bins + 3 K).

    Columns: NLL; confidence minus correctness, in the column of its bin; then one-hot its class,
    its predicted class, and its class if that was predicted.
    """
    num_images, num_classes = predictions.logits.shape
    rows = np.arange(num_images)
    terms = np.zeros((num_images, 1 + num_bins + 3 * num_classes))
    terms[:, 0] = predictions.nll
    gap = predictions.confidence - predictions.correct
    terms[rows, 1 + bin_of(predictions.confidence, num_bins)] = gap
    first = 1 + num_bins
    terms[rows, first + predictions.labels] = 1
    terms[rows, first + num_classes + predictions.predicted] = 1
    terms[rows, first + 2 * num_classes + predictions.labels] = predictions.correct
    return terms


def _metrics_of_sums(sums: FloatArray, num_images: int, num_bins: int) -> FloatArray:
    """Headline metrics of each resample, (num_samples, 6), from the sums of `_image_terms`."""
    nll, gaps, counts = np.split(sums, [1, 1 + num_bins], axis=1)
    support, predicted, hits = np.split(counts, 3, axis=1)  # each (num_samples, K)
    present = support > 0

    def macro(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
        ratio = numerator / np.maximum(denominator, 1)
        return np.asarray(ratio.sum(axis=1, where=present) / present.sum(axis=1))

    return np.column_stack(
        [
            hits.sum(axis=1) / num_images,
            macro(hits, predicted),
            macro(hits, support),
            macro(2 * hits, support + predicted),
            nll[:, 0] / num_images,
            np.abs(gaps).sum(axis=1) / num_images,
        ]
    )
