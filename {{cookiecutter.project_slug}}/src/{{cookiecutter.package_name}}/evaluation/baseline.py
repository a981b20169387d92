"""The accuracy of a simple model on the same data, and whether the difference could be chance."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ..data.dataset import Split

MAX_PIXELS = 40_000_000  # of the training images together: 160 MB as float32
MAX_ITERATIONS = 100
BATCH_SIZE = 4096  # test images that are float32 at a time


def compare_with_baseline(
    predicted: npt.NDArray[np.int64], train: Split, test: Split, seed: int
) -> dict[str, Any]:
    """Train the baseline and compare it with the model on the same test images.

    Args:
        predicted: the model's classes of the test split, (N,).
    """
    baseline, num_train = predict_baseline(train, test, seed)
    model_correct, baseline_correct = predicted == test.labels, baseline == test.labels
    only_model = int((model_correct & ~baseline_correct).sum())
    only_baseline = int((baseline_correct & ~model_correct).sum())
    return {
        "name": "logistic regression",
        "accuracy": round(float(baseline_correct.mean()), 6),
        "mcnemar_p": mcnemar_p(only_model, only_baseline),
        "num_train": num_train,
        "only_model_right": only_model,
        "only_baseline_right": only_baseline,
    }


def predict_baseline(train: Split, test: Split, seed: int) -> tuple[npt.NDArray[np.int64], int]:
    """Train a multinomial logistic regression on the pixels, and predict the test split.

    Its cost is bounded: a random subset of the training split where that has more than
    `MAX_PIXELS` pixels, and at most `MAX_ITERATIONS` steps of L-BFGS.

    Returns:
        The predicted classes (N,), and the number of images that it was trained on.
    """
    num_train = min(len(train), max(1, MAX_PIXELS // train.images[0].size))
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:num_train])
    model = LogisticRegression(max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound is intended
        model.fit(_flatten(train.images[rows]), train.labels[rows])
    predicted = [
        model.predict(_flatten(test.images[start : start + BATCH_SIZE]))
        for start in range(0, len(test), BATCH_SIZE)
    ]
    return np.concatenate(predicted), num_train


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the exact p-value that two classifiers are equally good (McNemar 1947).

    Args:
        only_first: number of test images that only the first classifies correctly.
        only_second: the same of the second.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def _flatten(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Turn pixels (N, C, H, W) into features (N, C * H * W) on the scale 0 to 1."""
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
