"""Accuracy, speed and memory on the whole of Fashion-MNIST, with the parameters that are shipped.

    uv run python -m benchmarks.fashion_mnist --data FOLDER

FOLDER holds the four official files; they are served on loopback, so the project's own download
and checksum code runs.
"""

import argparse
import json
from pathlib import Path

from .project import generated, measure, served_folder
from .report import write

MODELS = ("cnn", "resnet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        measure(project, "make", "setup")
        measure(project, "uv", "run", "dvc", "repro", "prepare", env={"DATA_SOURCE_URL": url})
        rows = [_train(project, model) for model in MODELS]
    write(
        "fashion-mnist",
        "Fashion-MNIST: 54,000 images to train, 6,000 to validate, 10,000 to test",
        "python -m benchmarks.fashion_mnist --data FOLDER",
        [
            *("model", "parameters", "epochs", "test accuracy (95 % interval)"),
            *("images/s", "training, s", "peak memory, MB"),
        ],
        rows,
    )


def _train(project: Path, model: str) -> list[str]:
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace(f"name: {_other(model)} #", f"name: {model} #"), "utf-8")
    cost = measure(project, "uv", "run", "dvc", "repro", "train")
    measure(project, "uv", "run", "dvc", "repro", "evaluate")
    training = json.loads((project / "metrics/train.json").read_text(encoding="utf-8"))
    metrics = json.loads((project / "metrics/evaluation.json").read_text(encoding="utf-8"))
    low, high = metrics["accuracy_ci95"]
    return [
        model,
        f"{training['num_parameters']:,}",
        str(training["epochs"]),
        f"{metrics['accuracy']:.4f} ({low:.4f} to {high:.4f})",
        f"{training['images_per_second']:,.0f}",
        f"{training['seconds']:.0f}",
        f"{cost.peak_mb:,.0f}",
    ]


def _other(model: str) -> str:
    (other,) = set(MODELS) - {model}
    return other


if __name__ == "__main__":
    main()
