"""Whether a result is what the model gives: git keeps it in files that anybody can edit."""

import math

import numpy as np

from ..config import CompressConfig
from ..data.dataset import Split
from ..errors import UserError
from ..paths import EVALUATION, PREDICTIONS, PREPARED
from ..serving.predictor import Predictor
from .champion import predict_labels
from .gate import Result
from .metrics import DIGITS
from .paired import Flags

MAX_CHANGES = 0.002  # share of the images whose label another processor may round to another one


def check_accuracy(result: Result) -> None:
    """Compare the accuracy with the predictions.

    Raises:
        UserError: they do not belong together.
    """
    correct, claimed = result.correct[~result.from_feedback], result.metrics["accuracy"]
    accuracy = correct.sum() / max(1, len(correct))
    if abs(claimed - accuracy) > 10**-DIGITS:
        raise UserError(
            f"{EVALUATION} says that the accuracy is {claimed}, and {PREDICTIONS} that it is "
            f"{accuracy:.{DIGITS}f}: run `dvc repro` first"
        )


def check_predictions(
    result: Result,
    predictor: Predictor,
    test: Split,
    from_feedback: Flags,
    compress: CompressConfig,
) -> None:
    """Compare the predictions with the test split, and with what the model predicts for it.

    Raises:
        UserError: they do not belong together, or more labels differ than rounding explains.
    """
    predicted = predict_labels(predictor, test.images)
    labels = np.array(predictor.metadata.classes)[test.labels]
    if not (
        np.array_equal(result.labels, labels)
        and np.array_equal(result.from_feedback, from_feedback)
    ):
        raise UserError(f"{PREDICTIONS} is not about the test split in {PREPARED}: run `dvc repro`")
    num_different = int((predicted != result.predicted).sum())
    allowed = max(MAX_CHANGES, compress.max_label_changes if compress.int8 else 0)
    if num_different > math.ceil(allowed * len(labels)):
        raise UserError(
            f"the model gives {num_different} of {len(labels)} test images another label than "
            f"{PREDICTIONS} says: run `dvc repro` first"
        )
