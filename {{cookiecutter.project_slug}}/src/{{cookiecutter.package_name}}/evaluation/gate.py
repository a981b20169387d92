"""The gate: whether a candidate is good enough, by itself and beside the champion."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import GateConfig


@dataclass(frozen=True)
class Result:
    """A model's evaluation. metrics: as in `metrics/evaluation.json`. correct: (N,)."""

    metrics: dict[str, Any]
    correct: npt.NDArray[np.bool_]

    @classmethod
    def from_text(cls, evaluation: str, predictions: str) -> "Result":
        """Read the contents of `metrics/evaluation.json` and `reports/predictions.csv`."""
        rows = csv.DictReader(io.StringIO(predictions))
        correct = [row["label"] == row["prediction"] for row in rows]
        return cls(json.loads(evaluation), np.array(correct, dtype=np.bool_))


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate goes through, and the reasons as markdown."""

    passed: bool
    markdown: str


def paired_interval(
    candidate: npt.NDArray[np.bool_],
    champion: npt.NDArray[np.bool_],
    *,
    num_samples: int,
    seed: int,
) -> tuple[float, float]:
    """95 % paired bootstrap interval of the difference of two accuracies on the same images.

    A resample's difference depends only on how often it draws an image that the one model, the
    other, or neither alone gets right: one multinomial draw. candidate, champion: (N,).
    """
    num_images = len(candidate)
    only_candidate = np.mean(candidate & ~champion)
    only_champion = np.mean(champion & ~candidate)
    shares = [only_candidate, only_champion, 1 - only_candidate - only_champion]
    counts = np.random.default_rng(seed).multinomial(num_images, shares, size=num_samples)
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / num_images, [2.5, 97.5])
    return float(low), float(high)


def judge(
    candidate: Result,
    champion: Result | None,
    config: GateConfig,
    *,
    note: str,
    num_samples: int,
    seed: int,
) -> Verdict:
    """Hold the candidate to the floor and, where there is one, to the champion.

    It fails below `min_accuracy`, and where it is more than `max_accuracy_drop` worse than the
    champion. note: who the champion is, or why there is none.
    """
    accuracy = candidate.metrics["accuracy"]
    above_floor = accuracy >= config.min_accuracy
    lines = [
        _check(above_floor, f"accuracy {_percent(accuracy)}, floor {_percent(config.min_accuracy)}")
    ]
    passed = above_floor
    if champion:
        difference = accuracy - champion.metrics["accuracy"]
        close_enough = difference >= -config.max_accuracy_drop - 1e-9  # 0.97 - 0.975 < -0.005
        passed = above_floor and close_enough
        interval = _difference_interval(candidate, champion, num_samples, seed)
        lines.append(
            _check(
                close_enough,
                f"{100 * difference:+.2f} points against the champion ({interval}), "
                f"at least {-100 * config.max_accuracy_drop:+.2f} is asked for",
            )
        )
    title = "## Gate: passed" if passed else "## Gate: failed"
    return Verdict(
        passed, "\n".join([title, "", note, "", *_table(candidate, champion), "", *lines])
    )


def _difference_interval(candidate: Result, champion: Result, num_samples: int, seed: int) -> str:
    if candidate.metrics["test_hash"] != champion.metrics["test_hash"]:
        return "on a different test set, so not in pairs"
    low, high = paired_interval(
        candidate.correct, champion.correct, num_samples=num_samples, seed=seed
    )
    return f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}, in pairs on the same test set"


def _table(candidate: Result, champion: Result | None) -> list[str]:
    results = [candidate, champion] if champion else [candidate]
    header = "| | candidate | champion |" if champion else "| | candidate |"
    rows = [
        ("accuracy", "accuracy", _percent),
        ("macro F1", "f1_macro", _percent),
        ("negative log-likelihood", "nll", "{:.4f}".format),
        ("calibration error", "ece", "{:.4f}".format),
    ]
    lines = [header, "|---" * (len(results) + 1) + "|"]
    for label, key, form in rows:
        cells = []
        for metrics in (result.metrics for result in results):
            low, high = metrics[f"{key}_ci95"]
            cells.append(f"{form(metrics[key])} ({form(low)} to {form(high)})")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, "", "In brackets: 95 % bootstrap intervals."]


def _check(passed: bool, text: str) -> str:
    return f"- {'passed' if passed else '**failed**'}: {text}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
