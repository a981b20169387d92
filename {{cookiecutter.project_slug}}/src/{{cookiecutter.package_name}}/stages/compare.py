"""Say in Markdown what this change does to the model, beside the champion: `make report`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..files import write_text
from ..git import read_at
from ..paths import BUILD, CURVES, VERDICT
from ..reporting.comparison import Side, compare
from ._main import run
from .gate import DEFAULT_CHAMPION

COMPARISON = BUILD / "report.md"
LOCK = Path("dvc.lock")


def write_comparison(
    champion: Annotated[
        str, typer.Option(help="git revision that holds the champion's metrics")
    ] = DEFAULT_CHAMPION,
) -> None:
    """Write build/report.md, and the summary of the workflow that this runs in, if any."""
    for path, command in ((VERDICT, "make gate"), (LOCK, "dvc repro"), (CURVES, "dvc repro")):
        if not path.exists():
            raise UserError(f"{path} not found: run `{command}` first")
    candidate = Side.from_text(LOCK.read_text("utf-8"), CURVES.read_text("utf-8"))
    lock = read_at(champion, LOCK)
    before = Side.from_text(lock, read_at(champion, CURVES) or "") if lock else None
    text = compare(
        VERDICT.read_text(encoding="utf-8"),
        candidate,
        before,
        metrics=dvc_diff("metrics", champion) if before else "",
        params=dvc_diff("params", champion) if before else "",
    )
    write_text(COMPARISON, text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    print(f"{COMPARISON} written" + (", and in the run's summary" if summary else ""))


def dvc_diff(what: str, champion: str) -> str:
    """Return the table that `dvc metrics diff` or `dvc params diff` makes."""
    command = [sys.executable, "-m", "dvc", what, "diff", champion, "--md"]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        raise UserError(f"`{' '.join(command)}` failed: see above")
    return done.stdout


def main() -> None:
    """Run from the command line: `python -m <package>.stages.compare --champion REVISION`."""
    typer.run(write_comparison)


if __name__ == "__main__":
    run(main)
