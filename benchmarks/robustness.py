"""Calibration, corruptions and a planted weak slice on Fashion-MNIST, after training too long.

    uv run python -m benchmarks.robustness --data FOLDER

FOLDER holds the four official files. The network learns 10,000 images by heart, without
augmentation, dropout, weight decay or label smoothing, so that it is overconfident. The planted
slice is 200 test images turned into negatives, from an "old" camera in `data/attributes.csv`.
"""

import argparse
import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from scripts.demo import project_environment

from .project import generated, measure, served_folder
from .report import write

OVERFIT = (
    "prepare.limit=10000 train.epochs=20 train.patience=20 train.label_smoothing=0.0 "
    "train.weight_decay=0.0 train.crop_padding=0 train.horizontal_flip=false model.cnn.dropout=0.0 "
    "gate.min_accuracy=0.5 robustness.corruptions=true robustness.slices=true "
    "robustness.max_slice_drop=0.3 export.temperature_scaling=true"
)
NUM_PLANTED = 200
COMMAND = "python -m benchmarks.robustness --data FOLDER"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        measure(project, "make", "setup")
        measure(project, "make", "params", f"PARAMETERS={OVERFIT}")
        measure(project, "uv", "run", "dvc", "repro", "evaluate", env={"DATA_SOURCE_URL": url})
        metrics = read_metrics(project)
        verdicts = [["as it is", *judge(project)]]
        plant_slice(project)
        measure(project, "uv", "run", "python", "-m", "my_project.stages.evaluate")
        verdicts.append([f"{NUM_PLANTED} images planted", *judge(project)])
    scaling = metrics["temperature_scaling"]
    write(
        "calibration",
        f"Temperature scaling of an overconfident CNN on Fashion-MNIST, T = "
        f"{scaling['temperature']:.2f}",
        COMMAND,
        ["", "negative log-likelihood (95 % interval)", "calibration error (95 % interval)"],
        [
            [side, *(shown(scaling[side], key) for key in ("nll", "ece"))]
            for side in ("before", "after", "change")
        ],
    )
    write(
        "corruptions",
        f"The same CNN on worse images; {100 * metrics['accuracy']:.1f} % on those of the test set",
        COMMAND,
        ["corruption", *(f"severity {severity}" for severity in range(1, 6))],
        [
            [name, *(f"{100 * row['accuracy']:.1f} %" for row in rows)]
            for name, rows in metrics["corruptions"].items()
        ],
    )
    write(
        "slices",
        "A weak slice of Fashion-MNIST at the gate, robustness.max_slice_drop = 0.3",
        COMMAND,
        ["test set", "accuracy", "exit code of the gate", "worst slice", "its accuracy"],
        verdicts,
    )


def read_metrics(project: Path) -> dict[str, Any]:
    text = (project / "metrics/evaluation.json").read_text(encoding="utf-8")
    metrics: dict[str, Any] = json.loads(text)
    return metrics


def judge(project: Path) -> list[str]:
    """Accuracy, the gate's exit code, and the worst slice."""
    command = ["uv", "run", "python", "-m", "my_project.stages.gate"]
    exit_code = subprocess.run(
        command, cwd=project, env=project_environment(), stdout=subprocess.DEVNULL
    ).returncode
    metrics = read_metrics(project)
    worst = metrics["slices"][0]
    return [
        f"{metrics['accuracy']:.4f}",
        str(exit_code),
        f"{worst['attribute']} {worst['value']}, {worst['num_images']} images",
        shown(worst, "accuracy"),
    ]


def plant_slice(project: Path) -> None:
    """Turn some test images into negatives, and name their camera in the owner's table."""
    prepared = project / "data/prepared"
    images = np.load(prepared / "test_images.npy")
    images[:NUM_PLANTED] = 255 - images[:NUM_PLANTED]
    (prepared / "test_images.npy").unlink()  # DVC's link to its cache
    np.save(prepared / "test_images.npy", images)
    with (prepared / "test_origins.csv").open(encoding="utf-8", newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    cameras = ["old" if row < NUM_PLANTED else "new" for row in range(len(names))]
    rows = [f"{name},{camera}" for name, camera in zip(names, cameras, strict=True)]
    (project / "data/attributes.csv").write_text("\n".join(["image,camera", *rows]), "utf-8")


def shown(metrics: dict[str, Any], key: str) -> str:
    low, high = metrics[f"{key}_ci95"]
    return f"{metrics[key]:.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    main()
