"""Every plot can be drawn whatever the data are like, and the same data give the same file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from my_project.config import EvaluateConfig
from my_project.evaluation.metrics import Predictions, compute_metrics
from my_project.reporting.panels import PlotData
from my_project.reporting.plots import write_plots

NAMES = {"confusion_matrix", "learning_curves", "mistakes", "reliability", "summary"}
CONFIG = EvaluateConfig(bootstrap_samples=100, num_bins=10, test_time_augmentation=False, seed=0)
CURVES = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


def make_data(
    *, num_classes: int, channels: int = 1, num_epochs: int = 5, noise: float = 1.0, name: str = "c"
) -> PlotData:
    """400 noisy predictions; no noise gives no mistakes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=400)
    logits = 4 * np.eye(num_classes)[labels] + noise * rng.normal(size=(400, num_classes))
    predictions = Predictions(logits.astype(np.float32), labels)
    classes = tuple(f"{name}{index}" for index in range(num_classes))
    metrics = compute_metrics(predictions, classes, CONFIG)
    metrics["baseline"] = {"name": "logistic regression", "accuracy": 0.5}
    curves = np.ones(num_epochs, dtype=[(column, float) for column in CURVES])
    curves["epoch"] = np.arange(num_epochs) + 1
    images = rng.integers(256, size=(400, channels, 6, 8), dtype=np.uint8)
    return PlotData(
        "test",
        classes,
        images,
        labels,
        predictions.predicted,
        predictions.confidence,
        metrics,
        curves,
        num_bins=10,
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(make_data(num_classes=2, channels=3), id="two classes in colour"),
        pytest.param(make_data(num_classes=100, noise=2), id="a hundred classes"),
        pytest.param(make_data(num_classes=3, noise=0), id="no mistakes"),
        pytest.param(make_data(num_classes=3, num_epochs=1), id="one epoch"),
        pytest.param(make_data(num_classes=3, name="$5 \\frac{ " * 9), id="odd long names"),
    ],
)
def test_all_plots_are_drawn_and_small(data: PlotData, tmp_path: Path) -> None:
    write_plots(data, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == NAMES
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 150_000
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 200
            assert len(np.unique(np.asarray(image.convert("L")))) > 10


def drawn(folder: Path, noise: float) -> dict[str, bytes]:
    write_plots(make_data(num_classes=4, channels=3, noise=noise), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_numbers_give_the_same_bytes_and_other_predictions_other_plots(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    first, same, other = (drawn(tmp_path_factory.mktemp("plots"), noise) for noise in (1, 1, 3))
    assert first == same
    assert first["confusion_matrix.png"] != other["confusion_matrix.png"]
