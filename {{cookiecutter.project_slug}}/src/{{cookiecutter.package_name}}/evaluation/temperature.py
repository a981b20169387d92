"""Temperature scaling: logits divided by a constant, so that confidence fits accuracy.

Guo et al. 2017, arXiv:1706.04599. The order of the logits stays, and with it every label.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from ..config import EvaluateConfig
from .metrics import DIGITS, Predictions, headline_metrics

BOUNDS = (0.05, 20.0)
METRICS = ("nll", "ece")


def fit_temperature(validation: Predictions) -> float:
    """Return the temperature with the lowest negative log-likelihood on the validation split.

    Each label gives 1 / (N + 2) to all classes together, after Platt 1999: otherwise a small split
    without a mistake would ask for the lowest temperature there is.
    """
    smoothing = 1 / (len(validation) + 2)

    def loss(log_temperature: float) -> float:
        scaled = scale(validation, float(np.exp(log_temperature)))
        uniform = scaled.log_probabilities.mean()
        return float((1 - smoothing) * scaled.nll.mean() - smoothing * uniform)

    found = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded")
    return round(float(np.exp(found.x)), DIGITS)


def scale(predictions: Predictions, temperature: float) -> Predictions:
    """Divide the logits, as the exported graph does."""
    return Predictions(predictions.logits / np.float32(temperature), predictions.labels)


def measure_scaling(
    before: Predictions, temperature: float, config: EvaluateConfig
) -> dict[str, Any]:
    """Measure NLL and calibration error before and after, and the change.

    The 95 % bootstrap intervals are paired: both sides see the same resamples. Resampling adds to a
    calibration error, most to a small one, so that those intervals understate the gain.
    """
    after = scale(before, temperature)
    rng, num_images = np.random.default_rng(config.seed), len(before)

    def measure(rows: Any) -> list[list[float]]:
        sides = [headline_metrics(side, config.num_bins, rows) for side in (before, after)]
        (nll, ece), (new_nll, new_ece) = ([side[key] for key in METRICS] for side in sides)
        return [[nll, new_nll, new_nll - nll], [ece, new_ece, new_ece - ece]]

    resamples = [
        measure(rng.integers(num_images, size=num_images)) for _ in range(config.bootstrap_samples)
    ]
    values = np.round(measure(slice(None)), DIGITS).tolist()  # (2, 3), as METRICS
    bounds = np.percentile(resamples, [2.5, 97.5], axis=0).round(DIGITS)  # (2, 2, 3)
    columns = enumerate(("before", "after", "change"))
    return {"temperature": temperature} | {
        column: {
            name: value
            for row, key in enumerate(METRICS)
            for name, value in (
                (key, values[row][index]),
                (f"{key}_ci95", bounds[:, row, index].tolist()),
            )
        }
        for index, column in columns
    }
