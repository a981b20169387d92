"""Say in markdown what this change does to the model, beside the champion."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ..errors import UserError
from ..evaluation.report import Side, report
from ..git import read_at
from ..paths import BUILD, CURVES, EVALUATION, VERDICT
from ._main import run
from .gate import DEFAULT_CHAMPION, read_file

REPORT = BUILD / "report.md"
PARAMS, LOCK = Path("params.yaml"), Path("dvc.lock")
PICTURE = "`reports/` holds the pictures: summary, confusion matrix, reliability, mistakes."


def write_report(
    champion: Annotated[
        str, typer.Option(help="git revision that holds the champion's metrics")
    ] = DEFAULT_CHAMPION,
) -> None:
    """Write build/report.md, and the summary of the workflow that this runs in, if any."""
    if not VERDICT.exists():
        raise UserError(f"{VERDICT} not found: run `make gate` first")
    verdict = VERDICT.read_text(encoding="utf-8")
    candidate = read_side(read_file)
    if candidate is None:
        raise UserError(f"{EVALUATION} or {LOCK} not found: run `dvc repro` first")
    best = read_side(lambda path: read_at(champion, path))
    text = f"{report(verdict, candidate, best)}\n{PICTURE}\n"
    REPORT.write_text(text, encoding="utf-8")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    print(f"{REPORT} written" + (", and in the run's summary" if summary else ""))


def read_side(read: Callable[[Path], str | None]) -> Side | None:
    """One side of the comparison from its files' texts, or None before the first training."""
    evaluation, params, lock = read(EVALUATION), read(PARAMS), read(LOCK)
    if evaluation is None or params is None or lock is None:
        return None
    return Side(
        metrics=json.loads(evaluation),
        params=yaml.safe_load(params),
        lock=yaml.safe_load(lock),
        curves=read(CURVES) or "",
    )


def main() -> None:
    """Run from the command line: `python -m <package>.stages.report --champion REVISION`."""
    typer.run(write_report)


if __name__ == "__main__":
    run(main)
