"""`make gate`: compare the newest model with the floor, the champion and the best one so far."""

import argparse
import sys

from ..config import CompressConfig, load_config
from ..data.dataset import load_from_feedback, load_split
from ..errors import UserError
from ..evaluation.champion import DEFAULT_CHAMPION, Earlier, find_best, find_champion, read_result
from ..evaluation.evidence import check_accuracy, check_predictions
from ..evaluation.gate import Result, judge
from ..evaluation.paired import Flags
from ..files import write_text
from ..metadata import MODEL_FILE
from ..paths import EVALUATION, MODEL, PREDICTIONS, PREPARED, VERDICT
from ..reporting.render import render
from ..serving.predictor import Predictor
from ._main import run_main


def main() -> None:
    """Print the verdict as Markdown, write it to build/gate.md, and exit with 1 if it failed."""
    revision = parse_champion("Compare the newest evaluation with the floor and the champion.")
    config = load_config()
    candidate = read_result(None)
    if candidate is None:
        raise UserError(f"{EVALUATION} or {PREDICTIONS} not found: run `dvc repro evaluate` first")
    _check(candidate, config.compress)
    champion, note = find_champion(revision, candidate)
    notes = [note]
    earlier: dict[str, Flags] = {}
    if champion:
        _add("the champion", champion, candidate, earlier, notes)
        best = find_best(champion.commit, config.gate.best_since)
        if best and best.result.metrics != champion.result.metrics:
            _add(f"the best so far ({best.commit})", best, candidate, earlier, notes)
    if not earlier:
        notes.append("The floor alone decides.")
    allowed = config.robustness.max_slice_drop
    verdict = judge(candidate, earlier, config.gate, config.evaluate, allowed)
    slices = candidate.metrics.get("slices", []) if allowed is not None else []
    text = render(
        "gate.md",
        verdict=verdict,
        worst_slices=verdict.weak_slices or slices[:1],
        max_slice_drop=allowed,
        note=" ".join(notes),
        config=config.gate,
        candidate=candidate.metrics,
        champion=champion.result.metrics if champion else None,
    )
    print(text, end="")
    write_text(VERDICT, text)
    sys.exit(0 if verdict.passed else 1)


def _check(candidate: Result, compress: CompressConfig) -> None:
    """Refuse a stored result that is not its model's own; the model is run if its file exists."""
    check_accuracy(candidate)
    if (MODEL / MODEL_FILE).exists():
        predictor, test = Predictor.load(MODEL, num_threads=1), load_split(PREPARED, "test")
        from_feedback = load_from_feedback(PREPARED, "test")
        check_predictions(candidate, predictor, test, from_feedback, compress)


def _add(
    name: str, model: Earlier, candidate: Result, earlier: dict[str, Flags], notes: list[str]
) -> None:
    """Add a model to those that the candidate is compared with, if that can be done."""
    correct, source = model.correct_on(candidate, load_split(PREPARED, "test").images)
    if correct is None:
        notes.append(f"No comparison with {name}: {source}.")
    else:
        earlier[name] = correct
        notes.append(f"Compared with {name}: {source}.")


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


if __name__ == "__main__":
    run_main(main)
