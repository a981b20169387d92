"""The calibration error beside what chance alone gives."""

import numpy as np
import pytest

from my_project.evaluation.calibration import calibration_error_by_chance, reliability

NUM_BINS = 15


def test_the_calibration_error_of_a_calibrated_model_is_that_of_chance() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 360)
    errors = [
        reliability(confidence, rng.random(360) < confidence, NUM_BINS).expected_calibration_error
        for _ in range(200)
    ]
    chance = calibration_error_by_chance(confidence, NUM_BINS, 200, seed=1)
    assert chance == pytest.approx(np.mean(errors), rel=0.1)
    assert chance > 0.03
