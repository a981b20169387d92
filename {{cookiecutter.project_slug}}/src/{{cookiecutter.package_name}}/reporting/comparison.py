"""What a change does to the model, as Markdown: for a pull request and a workflow's summary."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from .render import render

MAX_POINTS = 40  # of a curve; GitHub draws no more than some thousand characters well
HEADER = 2  # lines of a Markdown table before its rows


@dataclass(frozen=True)
class Side:
    """The candidate or the champion: its stages in `dvc.lock`, the text of `metrics/curves.csv`."""

    stages: dict[str, Any]
    curves: str

    @classmethod
    def from_text(cls, lock: str, curves: str) -> "Side":
        return cls(yaml.safe_load(lock).get("stages", {}), curves)


def compare(
    verdict: str, candidate: Side, champion: Side | None, *, metrics: str, params: str
) -> str:
    """Put the verdict first, then metrics, parameters, data and curves, side by side.

    Args:
        metrics, params: the tables of `dvc metrics diff --md` and `dvc params diff --md`.
    """
    stages, earlier = candidate.stages, champion.stages if champion else {}
    before = _folders(earlier)
    curves = [_curve(side.curves) for side in (candidate, champion) if side and side.curves]
    headline, by_class = _split(metrics)
    return render(
        "comparison",
        verdict=verdict.rstrip(),
        has_champion=champion is not None,
        metrics=headline,
        by_class=by_class,
        params=_split(params)[0],
        folders=[(path, before.get(path), found) for path, found in _folders(stages).items()],
        changed=[name for name, stage in stages.items() if earlier.get(name) != stage],
        curves=curves,
        lowest=max(0, int(min(map(min, curves))) - 1),
        longest=max(map(len, curves)),
    )


def _split(table: str) -> tuple[str, str]:
    """Split DVC's table by rows: of the whole model, and of its classes; a part may be empty."""
    lines = table.strip().splitlines()
    header, rows = lines[:HEADER], lines[HEADER:]
    parts = [
        [row for row in rows if (" per_class." in row) is of_class] for of_class in (False, True)
    ]
    whole, by_class = ("\n".join([*header, *part]) if part else "" for part in parts)
    return whole, by_class


def _folders(stages: Mapping[str, Any]) -> dict[str, str]:
    """The data folders that the stages read or write, and what is in them."""
    entries = [
        entry
        for stage in stages.values()
        for entry in [*stage.get("deps", ()), *stage.get("outs", ())]
        if entry["path"].startswith("data/")
    ]
    return {
        entry["path"]: f"{entry['size']:,} bytes in {entry.get('nfiles', 1):,} "
        f"file{'s' if entry.get('nfiles', 1) > 1 else ''}, `{entry['md5'][:8]}`"
        for entry in entries
    }


def _curve(curves: str) -> list[float]:
    """Validation accuracy by epoch in per cent: at most `MAX_POINTS`, first and last among them."""
    rows = csv.DictReader(io.StringIO(curves))
    values = [100 * float(row["validation_accuracy"]) for row in rows]
    if len(values) <= MAX_POINTS:
        return values
    step = (len(values) - 1) / (MAX_POINTS - 1)
    return [values[round(index * step)] for index in range(MAX_POINTS)]
