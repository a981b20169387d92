"""Stage 4: measure the model on the test split; write `metrics/evaluation.json`."""

from typing import Any

import numpy as np
import torch
from torch import nn

from ..config import Config, EvaluateConfig, load_config
from ..data.dataset import Split, load_info, load_split
from ..evaluation.baseline import compare_with_baseline
from ..evaluation.metrics import DIGITS, Predictions, bootstrap_intervals, evaluate
from ..evaluation.views import predict_views, views
from ..files import sha256, write_csv, write_json
from ..models.predict import predict_logits
from ..paths import BEST_MODEL, EVALUATION, PREDICTIONS, PREPARED
from ..training.checkpoint import load_model
from ._main import run


def main() -> None:
    """Predict the test split on the CPU, as the service does; it needs no GPU."""
    config = load_config()
    info, test = load_info(PREPARED), load_split(PREPARED, "test")
    model = load_model(BEST_MODEL, torch.device("cpu"))
    predictions = Predictions(predict_logits(model, test.images), test.labels)
    metrics = _measure(predictions, info.classes, test, config.evaluate)
    if config.evaluate.test_time_augmentation:
        metrics["test_time_augmentation"] = _measure_views(model, test, config)
    write_json(EVALUATION, metrics)
    _write_predictions(predictions, info.classes)
    print(
        f"test accuracy {metrics['accuracy']:.4f}, baseline {metrics['baseline']['accuracy']:.4f}"
    )


def _measure(
    predictions: Predictions, classes: tuple[str, ...], test: Split, config: EvaluateConfig
) -> dict[str, Any]:
    metrics = evaluate(
        predictions,
        classes,
        num_bins=config.num_bins,
        num_samples=config.bootstrap_samples,
        seed=config.seed,
    )
    train = load_split(PREPARED, "train")
    metrics["baseline"] = compare_with_baseline(predictions.predicted, train, test, config.seed)
    metrics["num_test"] = len(test)
    digest = sha256([test.images.data, test.labels.data])
    metrics["test_hash"] = f"sha256:{digest}"  # where it is equal, the gate pairs the images
    return metrics


def _measure_views(model: nn.Module, test: Split, config: Config) -> dict[str, Any]:
    shifted, mirrored = config.train.crop_padding > 0, config.train.horizontal_flip
    found = views(np.array(test.images), shifted=shifted, mirrored=mirrored)
    predictions = Predictions(predict_views(model, found), test.labels)
    settings = config.evaluate
    intervals = bootstrap_intervals(
        predictions, settings.num_bins, settings.bootstrap_samples, settings.seed
    )
    accuracy = float(predictions.correct.mean())
    return {
        "num_views": len(found),
        "accuracy": round(accuracy, DIGITS),
        "accuracy_ci95": intervals["accuracy_ci95"],
    }


def _write_predictions(predictions: Predictions, classes: tuple[str, ...]) -> None:
    """One row for each test image; gate, plots and DVC's confusion matrix read it."""
    columns = zip(predictions.labels, predictions.predicted, predictions.confidence, strict=True)
    rows = (
        (index, classes[label], classes[predicted], f"{confidence:.6f}")
        for index, (label, predicted, confidence) in enumerate(columns)
    )
    write_csv(PREDICTIONS, ("index", "label", "prediction", "confidence"), rows)


if __name__ == "__main__":
    run(main)
