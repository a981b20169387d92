"""What a simple model gets on the same data, and whether the difference could be chance."""

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


def predict_baseline(train: Split, test: Split, seed: int) -> tuple[npt.NDArray[np.int64], int]:
    """Multinomial logistic regression on the pixels: predicted classes (N,), images trained on.

    Work is bounded: a random subset of the training split where that has more than `MAX_PIXELS`
    pixels, and at most `MAX_ITERATIONS` steps of L-BFGS.
    """
    num_train = min(len(train), max(1, MAX_PIXELS // train.images[0].size))
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:num_train])
    model = LogisticRegression(max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound is meant
        model.fit(_flatten(train.images[rows]), train.labels[rows])
    return np.asarray(model.predict(_flatten(test.images)), dtype=np.int64), num_train


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact p-value that two classifiers are equally good (McNemar 1947).

    only_first, only_second: test images that only the one, or only the other, gets right.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def compare_with_baseline(
    predicted: npt.NDArray[np.int64], train: Split, test: Split, seed: int
) -> dict[str, Any]:
    """Train the baseline and hold the model's `predicted` classes (N,) of the test split to it."""
    baseline, num_train = predict_baseline(train, test, seed)
    model_right, baseline_right = predicted == test.labels, baseline == test.labels
    only_model = int((model_right & ~baseline_right).sum())
    only_baseline = int((baseline_right & ~model_right).sum())
    return {
        "name": "logistic regression",
        "accuracy": round(float(baseline_right.mean()), 6),
        "mcnemar_p": mcnemar_p(only_model, only_baseline),
        "num_train": num_train,
        "only_model_right": only_model,
        "only_baseline_right": only_baseline,
    }


def _flatten(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Pixels as features on the scale 0 to 1: (N, C, H, W) to (N, C * H * W)."""
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
