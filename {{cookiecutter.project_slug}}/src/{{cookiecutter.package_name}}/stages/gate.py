"""`make gate`: compare the newest evaluation with the floor and the champion."""

import argparse
import sys

from ..config import load_config
from ..errors import UserError
from ..evaluation.gate import Result, judge
from ..files import write_text
from ..git import git, read_at
from ..paths import EVALUATION, PREDICTIONS, VERDICT
from ..reporting.render import render
from ._main import run_main

DEFAULT_CHAMPION = "origin/main"


def main() -> None:
    """Print the verdict as Markdown, write it to build/gate.md, and exit with 1 if it failed."""
    revision = parse_champion("Compare the newest evaluation with the floor and the champion.")
    config = load_config()
    candidate = read_result(None)
    if candidate is None:
        raise UserError(f"{EVALUATION} or {PREDICTIONS} not found: run `dvc repro evaluate` first")
    champion, note = read_champion(revision)
    verdict = judge(candidate, champion, config.gate, config.evaluate)
    text = render(
        "gate.md",
        verdict=verdict,
        note=note,
        config=config.gate,
        candidate=candidate.metrics,
        champion=champion.metrics if champion else None,
    )
    print(text, end="")
    write_text(VERDICT, text)
    sys.exit(0 if verdict.passed else 1)


def parse_champion(description: str) -> str:
    """Parse the command line of the commands that compare with a champion.

    Returns:
        The git revision that holds it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--champion",
        default=DEFAULT_CHAMPION,
        metavar="REVISION",
        help="git revision that holds the champion's metrics (default: %(default)s)",
    )
    revision: str = parser.parse_args().champion
    return revision


def read_champion(revision: str) -> tuple[Result | None, str]:
    """Read the champion's result from git, and a sentence that says who the champion is.

    There is none yet if the revision has no metrics, or if nobody has pushed to `origin/main`.

    Raises:
        UserError: git does not know the revision, and it is not the default.
    """
    commit = git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}")
    if commit is None:
        if revision != DEFAULT_CHAMPION:
            raise UserError(f"--champion {revision}: git knows no such revision")
        return None, f"No champion: there is no `{revision}` here. The floor alone decides."
    result = read_result(revision)
    if result is None:
        return None, f"No champion: `{revision}` has no metrics yet. The floor alone decides."
    return result, f"The champion is `{revision}` ({commit.strip()})."


def read_result(revision: str | None) -> Result | None:
    """Read a result as of a git revision, or from the working tree; None if a file is missing."""
    evaluation, predictions = read_at(revision, EVALUATION), read_at(revision, PREDICTIONS)
    if evaluation is None or predictions is None:
        return None
    return Result.from_text(evaluation, predictions)


if __name__ == "__main__":
    run_main(main)
