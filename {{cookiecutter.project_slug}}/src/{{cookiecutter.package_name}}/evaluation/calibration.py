"""Whether a model is right as often as its confidence says (Guo et al. 2017, arXiv:1706.04599)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in bins of equal width.

    Attributes:
        count: number of images in each bin, (num_bins,).
        confidence: mean of each bin, (num_bins,); NaN where it is empty.
        accuracy: of each bin, (num_bins,); NaN where it is empty.
    """

    count: npt.NDArray[np.int64]
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def expected_calibration_error(self) -> float:
        """Distance of confidence and accuracy, averaged over the images."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.count * gaps) / self.count.sum())


def bin_of(confidence: FloatArray, num_bins: int) -> npt.NDArray[np.int64]:
    """Return the bin of each confidence: bin m is (m / num_bins, (m + 1) / num_bins]."""
    return np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)


def reliability(
    confidence: FloatArray, correct: npt.NDArray[np.bool_], num_bins: int
) -> Reliability:
    """Compute the numbers behind the reliability diagram.

    Args:
        confidence: probability of the predicted class, (N,).
        correct: whether it is the true class, (N,).
    """
    bins = bin_of(confidence, num_bins)
    count = np.bincount(bins, minlength=num_bins)
    sums = (np.bincount(bins, values, num_bins) for values in (confidence, correct))
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin
        return Reliability(count, *(total / count for total in sums))


def calibration_error_by_chance(
    confidence: FloatArray, num_bins: int, num_samples: int, seed: int
) -> float:
    """Return the mean expected calibration error of a calibrated model with these confidences.

    It is not 0: in a bin of few images, accuracy differs from confidence by chance.

    Args:
        confidence: probability of the predicted class, (N,).
    """
    rng = np.random.default_rng(seed)
    errors = [
        reliability(
            confidence, rng.random(len(confidence)) < confidence, num_bins
        ).expected_calibration_error
        for _ in range(num_samples)
    ]
    return float(np.mean(errors))
