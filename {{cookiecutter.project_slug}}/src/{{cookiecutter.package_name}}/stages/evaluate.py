"""Stage 5: measure the model on the test split; write `metrics/evaluation.json`."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..config import Config, load_config
from ..data.dataset import Split, load_from_feedback, load_info, load_split
from ..evaluation.baseline import compare_with_baseline
from ..evaluation.corruptions import measure_corruptions
from ..evaluation.metrics import (
    DIGITS,
    Predictions,
    compute_metrics,
    measure_accuracy,
    measure_production,
)
from ..evaluation.paired import paired_interval
from ..evaluation.slices import measure_slices, read_attributes
from ..evaluation.temperature import fit_temperature, measure_scaling, scale
from ..evaluation.tta import predict_tta
from ..export import OnnxModel
from ..files import sha256, write_csv, write_json
from ..models import count_parameters
from ..models.predict import predict_logits
from ..paths import (
    ATTRIBUTES,
    BEST_MODEL,
    EVALUATION,
    ORIGINS,
    PREDICTIONS,
    PREPARED,
    SERVED_INT8,
    SERVED_MODEL,
)
from ..training.checkpoint import load_model
from ._main import run_main


def main() -> None:
    """Predict the test split on the CPU, as the service does; no GPU is needed."""
    config = load_config()
    classes = load_info(PREPARED).classes
    train, test = load_split(PREPARED, "train"), load_split(PREPARED, "test")
    cpu = torch.device("cpu")
    network = load_model(SERVED_MODEL, cpu)
    model = OnnxModel(SERVED_INT8) if config.compress.int8 else network
    from_feedback = load_from_feedback(PREPARED, "test")
    predictions = Predictions(predict_logits(model, test.images), test.labels)
    scaling = None
    if config.export.temperature_scaling:
        validation = load_split(PREPARED, "validation")
        logits = predict_logits(model, validation.images)
        temperature = fit_temperature(Predictions(logits, validation.labels))
        unscaled = predictions.only(~from_feedback)
        scaling = measure_scaling(unscaled, temperature, config.evaluate)
        predictions = scale(predictions, temperature)
    original, original_test = predictions.only(~from_feedback), test.only(~from_feedback)
    metrics = compute_metrics(original, classes, config.evaluate)
    if scaling:
        metrics["temperature_scaling"] = scaling
    metrics["baseline"] = compare_with_baseline(
        original.predicted, train, original_test, config.evaluate.seed
    )
    metrics["num_test"] = len(original)
    if config.compress.methods:
        trained = predict_logits(load_model(BEST_MODEL, cpu), original_test.images)
        metrics["compression"] = {
            "methods": config.compress.methods,
            "num_parameters": count_parameters(network),
            **_compare_with_trained(original, trained, config),
        }
    metrics["production"] = measure_production(predictions.only(from_feedback))
    # The gate compares two models image by image only if they were tested on the same images.
    metrics["test_hash"] = f"sha256:{sha256([test.images.data, test.labels.data])}"
    if config.evaluate.test_time_augmentation:
        metrics["test_time_augmentation"] = _measure_tta(model, original_test, config)
    if config.robustness.corruptions:
        metrics["corruptions"] = measure_corruptions(model, original_test, config.evaluate.seed)
    if config.robustness.slices:
        attributes = {
            "class": np.array(classes)[test.labels],
            "brightness": np.array([f"{image.mean():.1f}" for image in test.images]),
            **read_attributes(ORIGINS, ATTRIBUTES),
        }
        attributes = {name: values[~from_feedback] for name, values in attributes.items()}
        metrics["slices"] = measure_slices(original.correct, attributes)
    write_json(EVALUATION, metrics)
    _write_predictions(predictions, classes, from_feedback)
    print(
        f"test accuracy {metrics['accuracy']:.4f}, baseline {metrics['baseline']['accuracy']:.4f}"
    )


def _compare_with_trained(
    served: Predictions, logits: npt.NDArray[np.float32], config: Config
) -> dict[str, Any]:
    """Return the change of accuracy by compression; logits are the uncompressed model's."""
    trained = Predictions(logits, served.labels)
    samples, seed = config.evaluate.bootstrap_samples, config.evaluate.seed
    interval = paired_interval(served.correct, trained.correct, num_samples=samples, seed=seed)
    accuracy = float(trained.correct.mean())
    return {
        "accuracy_before": round(accuracy, DIGITS),
        "difference": round(float(served.correct.mean()) - accuracy, DIGITS),
        "difference_ci95": [round(bound, DIGITS) for bound in interval],
    }


def _measure_tta(model: nn.Module, test: Split, config: Config) -> dict[str, Any]:
    shifted, mirrored = config.train.crop_padding > 0, config.train.horizontal_flip
    logits = predict_tta(model, test.images, shifted=shifted, mirrored=mirrored)
    num_copies = (3 if shifted else 1) * (2 if mirrored else 1)
    return {"num_copies": num_copies} | measure_accuracy(Predictions(logits, test.labels))


def _write_predictions(
    predictions: Predictions, classes: tuple[str, ...], from_feedback: npt.NDArray[np.bool_]
) -> None:
    """Write one row for each test image; the gate, the plots and DVC's confusion matrix read it."""
    columns = zip(
        predictions.labels,
        predictions.predicted,
        predictions.confidence,
        from_feedback.astype(int),
        strict=True,
    )
    rows = (
        (index, classes[label], classes[predicted], f"{confidence:.6f}", production)
        for index, (label, predicted, confidence, production) in enumerate(columns)
    )
    header = ("index", "label", "prediction", "confidence", "from_feedback")
    write_csv(PREDICTIONS, header, rows)


if __name__ == "__main__":
    run_main(main)
