"""What a change does to the model, as markdown: for a pull request and a workflow's summary."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .cards import METRICS, flatten, table

MAX_POINTS = 40  # of a curve; GitHub draws no more than some thousand characters well
NUM_CLASSES_SHOWN = 5


@dataclass(frozen=True)
class Side:
    """The candidate or the champion: what its files say.

    metrics: as in `metrics/evaluation.json`. params: `params.yaml`. lock: `dvc.lock`.
    curves: the text of `metrics/curves.csv`.
    """

    metrics: dict[str, Any]
    params: dict[str, Any]
    lock: dict[str, Any]
    curves: str


def report(verdict: str, candidate: Side, champion: Side | None) -> str:
    """Put the verdict first, then metrics, parameters, data and curves, side by side."""
    sections = [
        verdict,
        "### Metrics\n\n" + _metrics(candidate, champion),
        "### Classes that changed most\n\n" + _classes(candidate, champion),
        "### Parameters\n\n" + _params(candidate, champion),
        "### Data and stages\n\n" + _data(candidate, champion),
        "### Validation accuracy by epoch\n\n" + _curves(candidate, champion),
    ]
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def _metrics(candidate: Side, champion: Side | None) -> str:
    if champion is None:
        rows = [(label, f"{candidate.metrics[key]:.4f}") for key, label in METRICS]
        return table(("metric", "candidate"), rows)
    return table(
        ("metric", "champion", "candidate", "difference"),
        (
            (label, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
            for key, label in METRICS
            for before, after in [(champion.metrics[key], candidate.metrics[key])]
        ),
    )


def _classes(candidate: Side, champion: Side | None) -> str:
    if champion is None:
        return "There is no champion to compare with."
    before, after = (
        {name: row["f1"] for name, row in side.metrics["per_class"].items()}
        for side in (champion, candidate)
    )
    changes = {name: after[name] - before[name] for name in after if name in before}
    names = sorted(filter(changes.get, changes), key=lambda name: -abs(changes[name]))
    if not names:
        return "None: F1 is the same for every class."
    return table(
        ("class", "champion's F1", "candidate's F1", "difference"),
        (
            (name, f"{before[name]:.4f}", f"{after[name]:.4f}", f"{changes[name]:+.4f}")
            for name in names[:NUM_CLASSES_SHOWN]
        ),
    )


def _params(candidate: Side, champion: Side | None) -> str:
    if champion is None:
        return table(("parameter", "candidate"), flatten(candidate.params))
    rows = list(_differences(dict(flatten(champion.params)), dict(flatten(candidate.params))))
    if not rows:
        return "None changed."
    return table(("parameter", "champion", "candidate", "difference"), rows)


def _differences(
    before: dict[str, object], after: dict[str, object]
) -> Iterator[tuple[str, object, object, str]]:
    for key in before | after:
        old, new = before.get(key, ""), after.get(key, "")
        if old != new:
            numbers = _is_number(old) and _is_number(new)
            yield key, old, new, f"{float(str(new)) - float(str(old)):+g}" if numbers else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _data(candidate: Side, champion: Side | None) -> str:
    after, before = _folders(candidate.lock), _folders(champion.lock) if champion else {}
    folders = table(
        ("data", "champion", "candidate", ""),
        (
            (f"`{path}`", before.get(path, "none"), what, _same(before.get(path) == what))
            for path, what in after.items()
        ),
    )
    if champion is None:
        return folders
    old, new = champion.lock.get("stages", {}), candidate.lock["stages"]
    stages = [f"`{name}`" for name, stage in new.items() if old.get(name) != stage]
    return f"{folders}\n\nStages with another result than the champion's: " + (
        f"{', '.join(stages)}." if stages else "none."
    )


def _folders(lock: Mapping[str, Any]) -> dict[str, str]:
    """The data folders that the stages read or write, and what is in them."""
    entries = [
        entry
        for stage in lock.get("stages", {}).values()
        for entry in [*stage.get("deps", ()), *stage.get("outs", ())]
        if entry["path"].startswith("data/")
    ]
    return {
        entry["path"]: f"{entry['size']:,} bytes in {entry.get('nfiles', 1):,} "
        f"file{'s' if entry.get('nfiles', 1) > 1 else ''}, `{entry['md5'][:8]}`"
        for entry in entries
    }


def _same(same: bool) -> str:
    return "unchanged" if same else "**changed**"


def _curves(candidate: Side, champion: Side | None) -> str:
    """Draw the validation accuracies as a Mermaid chart, which GitHub renders by itself."""
    lines = [_thinned(_percentages(candidate.curves))]
    legend = "The candidate."
    if champion and champion.curves:
        lines.append(_thinned(_percentages(champion.curves)))
        legend = "First line: the candidate. Second line: the champion."
    longest = max(len(line) for line in lines)
    lowest = min(value for line in lines for value in line)
    chart = [
        "xychart-beta",
        f'    x-axis "training so far (%)" 0 --> {100 if longest > 1 else 1}',
        f'    y-axis "validation accuracy (%)" {max(0, int(lowest) - 1)} --> 100',
        *(f"    line [{', '.join(f'{value:.2f}' for value in line)}]" for line in lines),
    ]
    return "```mermaid\n" + "\n".join(chart) + f"\n```\n\n{legend}"


def _percentages(curves: str) -> list[float]:
    rows = csv.DictReader(io.StringIO(curves))
    return [100 * float(row["validation_accuracy"]) for row in rows]


def _thinned(values: list[float]) -> list[float]:
    """At most `MAX_POINTS` of the values, evenly spaced, first and last among them."""
    if len(values) <= MAX_POINTS:
        return values
    step = (len(values) - 1) / (MAX_POINTS - 1)
    return [values[round(index * step)] for index in range(MAX_POINTS)]
