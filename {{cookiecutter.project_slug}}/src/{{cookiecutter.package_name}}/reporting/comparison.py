"""What a change does to the model, as Markdown, for a pull request and a workflow's summary."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from .render import render

MAX_POINTS = 40  # of a curve, which GitHub draws in a small frame


@dataclass(frozen=True)
class Side:
    """The candidate or the champion.

    Attributes:
        stages: as in `dvc.lock`.
        curve: validation accuracy by epoch in per cent.
    """

    stages: dict[str, Any]
    curve: list[float]

    @classmethod
    def from_text(cls, lock: str, curves: str) -> "Side":
        """Parse the contents of `dvc.lock` and `metrics/curves.csv`; that may be empty."""
        rows = csv.DictReader(io.StringIO(curves))
        curve = [100 * float(row["validation_accuracy"]) for row in rows]
        return cls(yaml.safe_load(lock).get("stages", {}), curve)


def compare(
    verdict: str, candidate: Side, champion: Side | None, *, metrics: str, params: str
) -> str:
    """Write the verdict first, then metrics, parameters, data and curves of both sides.

    Args:
        verdict: of the gate, in Markdown.
        metrics: the table of `dvc metrics diff --md`.
        params: the table of `dvc params diff --md`.
    """
    stages, earlier = candidate.stages, champion.stages if champion else {}
    before = _data(earlier)
    curves = [_thin(side.curve) for side in (candidate, champion) if side and side.curve]
    headline, by_class = _split(metrics)
    return render(
        "comparison.md",
        verdict=verdict.rstrip(),
        has_champion=champion is not None,
        metrics=headline,
        by_class=by_class,
        params=_split(params)[0],
        data=[(path, before.get(path), after) for path, after in _data(stages).items()],
        changed=[name for name, stage in stages.items() if earlier.get(name) != stage],
        curves=curves,
        lowest=max(0, int(min(map(min, curves))) - 1),
        longest=max(map(len, curves)),
    )


def _split(table: str) -> tuple[str, str]:
    """Split DVC's table into the rows of the whole model and those of its classes.

    Returns:
        Two tables; one without rows is the empty text.
    """
    header, rows = table.strip().splitlines()[:2], table.strip().splitlines()[2:]
    by_class = [row for row in rows if " per_class." in row]
    whole = [row for row in rows if " per_class." not in row]
    first, second = ("\n".join([*header, *part]) if part else "" for part in (whole, by_class))
    return first, second


def _data(stages: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of `dvc.lock` for the data that stages read or write, by path."""
    entries = (
        entry
        for stage in stages.values()
        for entry in [*stage.get("deps", ()), *stage.get("outs", ())]
    )
    return {entry["path"]: entry for entry in entries if entry["path"].startswith("data/")}


def _thin(curve: list[float]) -> list[float]:
    """Keep at most `MAX_POINTS` points of a curve, the first and the last among them."""
    num_points = min(len(curve), MAX_POINTS)
    return [curve[round(index)] for index in np.linspace(0, len(curve) - 1, num_points)]
