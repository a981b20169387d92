"""Hold the newest evaluation against the floor and the champion; exit code 1 when it fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..config import load_config
from ..errors import UserError
from ..evaluation.gate import Result, judge
from ..files import write_text
from ..git import git, read_at
from ..paths import EVALUATION, PREDICTIONS, VERDICT
from ..reporting.render import render
from ._main import run

DEFAULT_CHAMPION = "origin/main"


def gate(
    champion: Annotated[
        str, typer.Option(help="git revision that holds the champion's metrics")
    ] = DEFAULT_CHAMPION,
) -> None:
    """Print the verdict as markdown, write it to build/gate.md, and exit with 1 when it fails."""
    config = load_config()
    candidate = read_result(read_file)
    if candidate is None:
        raise UserError(f"{EVALUATION} or {PREDICTIONS} not found: run `dvc repro evaluate` first")
    best, note = read_champion(champion)
    verdict = judge(
        candidate,
        best,
        config.gate,
        num_samples=config.evaluate.bootstrap_samples,
        seed=config.evaluate.seed,
    )
    text = render(
        "gate",
        verdict=verdict,
        note=note,
        config=config.gate,
        candidate=candidate.metrics,
        champion=best.metrics if best else None,
    )
    print(text, end="")
    write_text(VERDICT, text)
    raise typer.Exit(0 if verdict.passed else 1)


def read_champion(revision: str) -> tuple[Result | None, str]:
    """Read the champion from git: its result, and a sentence that says who it is.

    There is none yet where the revision has no metrics, or where nobody has pushed to
    `origin/main`.

    Raises:
        UserError: a revision other than the default that git does not know.
    """
    commit = git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}")
    if commit is None:
        if revision != DEFAULT_CHAMPION:
            raise UserError(f"--champion {revision}: git knows no such revision")
        return None, f"No champion: there is no `{revision}` here. The floor alone decides."
    result = read_result(lambda path: read_at(revision, path))
    if result is None:
        return None, f"No champion: `{revision}` has no metrics yet. The floor alone decides."
    return result, f"The champion is `{revision}` ({commit.strip()})."


def read_result(read: Callable[[Path], str | None]) -> Result | None:
    """One model's result from its files' texts, or None where a file is missing."""
    evaluation, predictions = read(EVALUATION), read(PREDICTIONS)
    if evaluation is None or predictions is None:
        return None
    return Result.from_text(evaluation, predictions)


def read_file(path: Path) -> str | None:
    """Text of a file in the working tree, or None if it is not there."""
    return path.read_text(encoding="utf-8") if path.exists() else None


def main() -> None:
    """Run from the command line: `python -m <package>.stages.gate --champion REVISION`."""
    typer.run(gate)


if __name__ == "__main__":
    run(main)
