"""The metrics, checked against scikit-learn, sums done by hand, and theory."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from package_name.config import EvaluateConfig
from package_name.evaluation import baseline
from package_name.evaluation.calibration import bin_of, reliability
from package_name.evaluation.metrics import (
    BOOTSTRAPPED,
    Predictions,
    bootstrap_intervals,
    compute_metrics,
    headline_metrics,
    measure_production,
    per_class_metrics,
)

from .digits import digits

NUM_BINS = 15
CONFIG = EvaluateConfig(
    bootstrap_samples=200, num_bins=NUM_BINS, test_time_augmentation=False, seed=7
)
CLASSES = tuple("0123456789")
TRAIN, TEST = digits(0, 1200), digits(1200, 1797)


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """What a real, imperfect model predicts for the test split."""
    features = [split.images.reshape(len(split), -1) / 255 for split in (TRAIN, TEST)]
    model = LogisticRegression(max_iter=200).fit(features[0][:400], TRAIN.labels[:400])
    logits = model.decision_function(features[1]).astype(np.float32)
    return Predictions(logits, TEST.labels)


def from_confidences(confidence: list[float], correct: list[bool]) -> Predictions:
    """Two-class predictions that have exactly these confidences, and are right where told."""
    p = np.asarray(confidence)
    logits = np.log(np.column_stack([p, 1 - p])).astype(np.float32)
    return Predictions(logits, np.where(correct, 0, 1))


def test_nll_is_scikit_learns_log_loss(predictions: Predictions) -> None:
    expected = log_loss(predictions.labels, np.exp(predictions.log_probabilities))
    assert headline_metrics(predictions, NUM_BINS)["nll"] == pytest.approx(expected)


def test_nll_of_a_confident_mistake_is_large_and_finite() -> None:
    predictions = Predictions(np.array([[1000, 0]], np.float32), np.array([1]))
    assert headline_metrics(predictions, NUM_BINS)["nll"] == pytest.approx(1000)


def test_accuracy_and_macro_means_are_scikit_learns(predictions: Predictions) -> None:
    pair = (predictions.labels, predictions.predicted)
    macro_means = precision_recall_fscore_support(*pair, average="macro")[:3]
    headline = list(headline_metrics(predictions, NUM_BINS).values())
    assert headline[:4] == pytest.approx([accuracy_score(*pair), *macro_means])


def test_a_class_without_test_images_does_not_lower_the_macro_means() -> None:
    logits = np.eye(3, dtype=np.float32)[:2] * 9
    headline = headline_metrics(Predictions(logits, np.array([0, 1])), NUM_BINS)
    assert headline["recall_macro"] == headline["precision_macro"] == headline["f1_macro"] == 1


def test_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    predictions = from_confidences([0.9] * 4 + [0.7], [True, True, False, False, True])
    # bin of 0.9: accuracy 0.5, gap 0.4, weight 4/5; bin of 0.7: gap 0.3, weight 1/5
    bins = reliability(predictions.confidence, predictions.correct, 10)
    assert bins.expected_calibration_error == pytest.approx(0.4 * 0.8 + 0.3 * 0.2)


def test_a_bin_holds_its_upper_edge_and_not_its_lower_one() -> None:
    assert bin_of(np.array([0.0, 0.2, 0.25, 0.26, 0.5, 1.0]), 4).tolist() == [0, 0, 0, 1, 1, 3]


def test_per_class_metrics_are_scikit_learns(predictions: Predictions) -> None:
    rows = per_class_metrics(predictions, CLASSES)
    assert tuple(rows) == CLASSES
    pair = (predictions.labels, predictions.predicted)
    columns = precision_recall_fscore_support(*pair, average=None)
    for number, name in enumerate(("precision", "recall", "f1", "support")):
        found = [row[name] for row in rows.values()]
        assert found == pytest.approx(columns[number].tolist(), abs=1e-6)
    assert sum(row["support"] for row in rows.values()) == len(predictions)


@pytest.mark.parametrize("num_images", [20, 500])  # with 20, resamples miss whole classes
def test_intervals_are_those_of_a_plain_bootstrap_loop(
    predictions: Predictions, num_images: int
) -> None:
    predictions = Predictions(predictions.logits[:num_images], predictions.labels[:num_images])
    rng = np.random.default_rng(3)
    values = []
    for _ in range(100):
        rows = rng.integers(num_images, size=num_images)
        sample = Predictions(predictions.logits[rows], predictions.labels[rows])
        values.append(list(headline_metrics(sample, NUM_BINS).values()))
    expected = np.percentile(values, [2.5, 97.5], axis=0).T
    intervals = bootstrap_intervals(predictions, replace(CONFIG, bootstrap_samples=100, seed=3))
    np.testing.assert_allclose(list(intervals.values()), expected[1:-1], atol=1e-6)


def test_a_model_without_a_mistake_is_not_said_to_be_perfect() -> None:
    predictions = from_confidences([0.9] * 30, [True] * 30)
    expected = [1 / (1 + 1.959964**2 / 30), 1.0]  # Wilson 1927
    metrics = compute_metrics(predictions, ("a", "b"), CONFIG)
    assert metrics["accuracy_ci95"] == pytest.approx(expected, abs=1e-6)
    production = measure_production(predictions)
    assert production is not None
    assert production["accuracy_ci95"] == metrics["accuracy_ci95"]


def test_the_same_seed_gives_the_same_metrics_to_the_bit(predictions: Predictions) -> None:
    first, second = (compute_metrics(predictions, CLASSES, CONFIG) for _ in range(2))
    assert first == second


def test_every_headline_metric_lies_in_its_interval(predictions: Predictions) -> None:
    metrics = compute_metrics(predictions, CLASSES, CONFIG)
    for name in ("accuracy", *BOOTSTRAPPED):
        low, high = metrics[f"{name}_ci95"]
        assert low < metrics[name] < high


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 * 0.5**10), (1, 5, 2 * 7 / 64)],
)
def test_mcnemar_p_is_the_two_sided_binomial_tail(
    only_first: int, only_second: int, p: float
) -> None:
    assert baseline.mcnemar_p(only_first, only_second) == pytest.approx(p)
    assert baseline.mcnemar_p(only_second, only_first) == pytest.approx(p)


def test_a_perfect_model_beats_the_baseline_beyond_chance() -> None:
    comparison = baseline.compare_with_baseline(TEST.labels, TRAIN, TEST, seed=0)
    assert 0.85 < comparison["accuracy"] < 1
    assert comparison["only_baseline_right"] == 0
    assert comparison["only_model_right"] == round((1 - comparison["accuracy"]) * len(TEST))
    assert comparison["mcnemar_p"] < 0.001


def test_the_baseline_takes_a_subset_where_there_are_too_many_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baseline, "MAX_PIXELS", 64 * 300)
    assert baseline.compare_with_baseline(TEST.labels, TRAIN, TEST, seed=0)["num_train"] == 300
