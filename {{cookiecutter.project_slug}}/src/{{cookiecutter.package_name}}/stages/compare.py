"""`make report`: what this change does to the model, compared with the champion, as Markdown."""

import os
import subprocess
import sys
from pathlib import Path

from ..errors import UserError
from ..evaluation.champion import find_champion, read_result
from ..files import write_text
from ..git import read_at
from ..paths import COMPARISON, CURVES, VERDICT
from ..reporting.comparison import Side, compare
from ._main import run_main
from .gate import parse_champion

LOCK = Path("dvc.lock")


def main() -> None:
    """Write build/report.md, and append it to the summary of the workflow, if this is one."""
    revision = parse_champion("Write what this change does to the model, as Markdown.")
    for path, command in ((VERDICT, "make gate"), (LOCK, "dvc repro"), (CURVES, "dvc repro")):
        if not path.exists():
            raise UserError(f"{path} not found: run `{command}` first")
    result = read_result(None)
    assert result is not None  # the gate has judged it
    found, _ = find_champion(revision, result)
    commit = found.commit if found else None
    candidate, champion = read_side(None), read_side(commit) if commit else None
    assert candidate is not None  # dvc.lock is there
    text = compare(
        VERDICT.read_text(encoding="utf-8"),
        candidate,
        champion,
        metrics=dvc_diff("metrics", commit) if commit and champion else "",
        params=dvc_diff("params", commit) if commit and champion else "",
    )
    write_text(COMPARISON, text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    print(f"{COMPARISON} written" + (", and in the workflow's summary" if summary else ""))


def read_side(revision: str | None) -> Side | None:
    """Read one side as of a git revision or from the working tree; None if it has no dvc.lock."""
    lock = read_at(revision, LOCK)
    return Side.from_text(lock, read_at(revision, CURVES) or "") if lock is not None else None


def dvc_diff(what: str, champion: str) -> str:
    """Return the Markdown table of `dvc metrics diff` or `dvc params diff`."""
    command = [sys.executable, "-m", "dvc", what, "diff", champion, "--md"]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        raise UserError(f"`{' '.join(command)}` failed: see above")
    return done.stdout


if __name__ == "__main__":
    run_main(main)
