"""`make drift`: whether what the service sees still looks like the validation split.

Black-box shift detection: two-sample tests on the model's softmax outputs, which need no labels
(Lipton et al. 2018, arXiv:1802.03916; Rabanser et al. 2019, arXiv:1810.11953).
"""

import argparse
import math
import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, chi2_contingency, ks_2samp, norm

from ..errors import UserError
from ..files import write_text
from ..metadata import ModelMetadata
from ..paths import DRIFT
from ..reporting.plots import write_drift_plot
from ..reporting.render import render
from ..serving.settings import Settings
from ..stages._main import run_main
from .reference import PIXELS, REFERENCE_FILE, FloatArray, load_reference
from .window import read_window

ALPHA = 0.01  # of runs on an unshifted stream that raise an alarm, over all tests of a run
POWER = 0.8  # of the shifts that the tests are said to see
MIN_IMAGES = 100  # different ones; fewer would show the coarsest shift alone
MIN_EXPECTED = 5  # images of a class in the chi-square test (Cochran 1954)


@dataclass(frozen=True)
class ShiftTest:
    """One two-sample test.

    Attributes:
        column: of the samples; None for the predicted labels.
        distance: of the two distributions, 0 to 1: Kolmogorov-Smirnov's, or of the labels the
            total variation.
        p_value: adjusted for the number of tests.
    """

    name: str
    column: int | None
    distance: float
    p_value: float

    @property
    def is_shifted(self) -> bool:
        return self.p_value <= ALPHA


def compare(reference: FloatArray, window: FloatArray, classes: tuple[str, ...]) -> list[ShiftTest]:
    """Test each softmax output, brightness and contrast of the images, and the predicted labels.

    Args:
        reference, window: samples as in reference.py.

    Returns:
        The tests, the smallest p-value first.
    """
    tests = [_compare_labels(count_labels(reference), count_labels(window))]
    for column, name in enumerate([*(f"probability of {label}" for label in classes), *PIXELS]):
        found = ks_2samp(reference[:, column], window[:, column])
        tests.append(ShiftTest(name, column, float(found.statistic), float(found.pvalue)))
    tests.sort(key=lambda test: (test.p_value, -test.distance))
    # Holm (1979): the chance that any of them errs is at most that of a single test.
    scaled = [(len(tests) - rank) * test.p_value for rank, test in enumerate(tests)]
    adjusted = np.minimum(1, np.maximum.accumulate(scaled)).tolist()
    return [replace(test, p_value=value) for test, value in zip(tests, adjusted, strict=True)]


def count_labels(sample: FloatArray) -> npt.NDArray[np.int64]:
    """Count the images that each class is predicted for, (num_classes,)."""
    num_classes = sample.shape[1] - len(PIXELS)
    return np.bincount(sample[:, :num_classes].argmax(axis=1), minlength=num_classes)


def _compare_labels(reference: npt.NDArray[np.int64], window: npt.NDArray[np.int64]) -> ShiftTest:
    """Compare counts (num_classes,) by the chi-square test; rare classes count as one."""
    counts = np.stack([reference, window])  # (2, num_classes)
    shares = counts / counts.sum(axis=1, keepdims=True)
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    is_rare = expected < MIN_EXPECTED
    counts = np.column_stack([counts[:, ~is_rare], counts[:, is_rare].sum(axis=1)])
    p_value = float(chi2_contingency(counts[:, counts.any(axis=0)]).pvalue)
    return ShiftTest("predicted labels", None, float(np.ptp(shares, axis=0).sum() / 2), p_value)


def visible_distance(num_reference: int, num_window: int, num_tests: int) -> float:
    """Return the Kolmogorov-Smirnov distance that one test sees in `POWER` of all cases."""
    # The critical distance, and what chance takes away where the distributions differ most.
    z = math.sqrt(math.log(2 * num_tests / ALPHA) / 2) + float(norm.ppf(POWER)) / 2
    return min(1.0, z * math.sqrt(1 / num_reference + 1 / num_window))


def start_of(days: str) -> datetime:
    """Return when a window began that ends now.

    Raises:
        UserError: it is no number of days that has been.
    """
    now = datetime.now(UTC)
    try:
        since = now - timedelta(days=float(days))
    except (ValueError, OverflowError):
        since = now
    if since >= now:
        raise UserError(f"DAYS has to be a number of days above 0, such as 7, and not {days!r}")
    return since


def main() -> None:
    """Write build/drift/report.md and drift.png; exit with 1 for drift, and with 2 for an error."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    days = os.environ.get("DAYS", "1")
    parser.add_argument("--days", default=days, help="of the window (DAYS, or 1)")
    parser.add_argument("--max-images", type=int, default=5000, help="to draw (%(default)s)")
    arguments, settings = parser.parse_args(), Settings()
    since = start_of(arguments.days)
    if not (settings.model_dir / REFERENCE_FILE).exists():
        raise UserError(f"{settings.model_dir / REFERENCE_FILE} not found: run the pipeline first")
    metadata = ModelMetadata.load(settings.model_dir)
    reference = load_reference(settings.model_dir)
    window = read_window(settings.database_url, metadata.sha256, since, arguments.max_images)
    samples = reference, window.sample
    tests = []
    if len(window.sample) >= MIN_IMAGES:
        tests = compare(*samples, metadata.classes)
        most = next(test for test in tests if test.column is not None)
        shares = [count_labels(sample) / len(sample) for sample in samples]
        values = [sample[:, most.column] for sample in samples]
        write_drift_plot(DRIFT / "drift.png", metadata.classes, shares, most.name, values)
    labelled = binomtest(window.num_correct, window.num_labelled) if window.num_labelled else None
    text = render(
        "drift.md",
        tests=tests,
        reference=reference,
        window=window,
        metadata=metadata,
        since=f"{since:%Y-%m-%d %H:%M} UTC",
        min_images=MIN_IMAGES,
        alpha=ALPHA,
        power=POWER,
        visible=visible_distance(len(reference), len(window.sample), len(tests)) if tests else 1,
        accuracy=labelled,
        interval=labelled and labelled.proportion_ci(method="wilson"),
    )
    write_text(DRIFT / "report.md", text)
    print(text, end="")
    sys.exit(1 if any(test.is_shifted for test in tests) else 0)


if __name__ == "__main__":
    run_main(main)
