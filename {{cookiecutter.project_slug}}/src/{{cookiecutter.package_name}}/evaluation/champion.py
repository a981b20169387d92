"""The models that a candidate is compared with: found in git, fetched by DVC, run on its images."""

import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import BrokenFileError, UserError
from ..git import git, read_at
from ..paths import EVALUATION, MODEL, PREDICTIONS
from ..serving.predictor import Predictor
from .gate import Result
from .paired import Flags

DEFAULT_CHAMPION = "origin/main"
BATCH_SIZE = 256
MAX_COMMITS = 200  # whose results are looked through for the best one


@dataclass(frozen=True)
class Earlier:
    """An earlier model: its commit, and its evaluation at that time."""

    commit: str
    result: Result

    def correct_on(
        self, candidate: Result, images: npt.NDArray[np.uint8]
    ) -> tuple[Flags | None, str]:
        """Find out whether it is right on each image of the candidate's test split, (N,).

        Returns:
            None if that cannot be had; and a few words on where it is from.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                predictor = fetch_model(self.commit, Path(folder))
                predicted = predict_labels(predictor, images)
            return predicted == candidate.labels, "its model, run on the same images"
        except UserError as error:
            if self.result.metrics.get("test_hash") == candidate.metrics["test_hash"]:
                return self.result.correct, f"its stored predictions, since {error}"
            return None, f"{error}, and its test set was another one"


def read_result(revision: str | None) -> Result | None:
    """Read a result as of a git revision, or from the working tree; None if a file is missing.

    Raises:
        BrokenFileError: a file is not what `evaluate` writes.
    """
    evaluation, predictions = read_at(revision, EVALUATION), read_at(revision, PREDICTIONS)
    if evaluation is None or predictions is None:
        return None
    return Result.from_text(evaluation, predictions)


def find_champion(revision: str, candidate: Result) -> tuple[Earlier | None, str]:
    """Find the model of a revision, and a sentence that says who the champion is.

    Results that are committed already are compared with what was there before their commit, and
    not with themselves. There is no champion if the revision has no metrics, if nobody has pushed
    to `origin/main`, or if the revision is the zeros that GitHub gives for a first push.

    Raises:
        UserError: git does not know the revision, and it is not the default.
    """
    if not revision.strip("0"):
        return None, "No champion: this is the first push."
    commit = _commit(revision)
    if commit is None and revision != DEFAULT_CHAMPION:
        raise UserError(f"--champion {revision}: git knows no such revision")
    if commit is None:
        return None, f"No champion: there is no `{revision}` here."
    result = read_result(commit)
    if result and commit == _commit("HEAD") and result.metrics == candidate.metrics:
        revision, commit = "the commit before", _commit(f"{commit}~1")
        result = read_result(commit) if commit else None
    if commit is None or result is None:
        return None, f"No champion: `{revision}` has no metrics yet."
    return Earlier(commit, result), f"The champion is `{revision}` ({commit})."


def _commit(revision: str) -> str | None:
    found = git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}")
    return found and found.strip()


def find_best(revision: str, since: str | None) -> Earlier | None:
    """Find the model with the highest accuracy among the results that led to a revision.

    A row of small drops, each of them allowed, would otherwise end far below it. Commits whose
    results are broken are passed over.

    Args:
        since: git revision; what came before it is forgotten.
    """
    span = f"{since}..{revision}" if since else revision
    command = ("log", f"--max-count={MAX_COMMITS}", "--format=%h", span, "--", f"./{EVALUATION}")
    best: Earlier | None = None
    for commit in (git(*command) or "").split():
        with suppress(BrokenFileError):
            result = read_result(commit)
            if result and (
                not best or result.metrics["accuracy"] > best.result.metrics["accuracy"]
            ):
                best = Earlier(commit, result)
    return best


def fetch_model(commit: str, folder: Path) -> Predictor:
    """Get the model of a commit from DVC's cache or remote.

    Raises:
        UserError: it is not there, or cannot be used.
    """
    command = [sys.executable, "-m", "dvc", "get", ".", str(MODEL), "--rev", commit]
    command += ["--out", str(folder / "model"), "--quiet"]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
        raise UserError("DVC has its model neither in the cache nor in the remote")
    return Predictor.load(folder / "model", num_threads=1)


def predict_labels(predictor: Predictor, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.str_]:
    """Predict the name of the class of each image (N, C, H, W).

    Raises:
        UserError: the model takes images of another shape.
    """
    shape = predictor.metadata.image.shape
    if images.shape[1:] != shape:
        raise UserError(f"its model takes images of the shape {shape} and not {images.shape[1:]}")
    batches = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
    rows = [predictor.predict(np.asarray(batch)).argmax(axis=1) for batch in batches]
    names: npt.NDArray[np.str_] = np.array(predictor.metadata.classes)[np.concatenate(rows)]
    return names
