"""What each method of `compress` does to size, latency and accuracy, on Fashion-MNIST.

    uv run python -m benchmarks.compress --data FOLDER [--epochs 4]

FOLDER holds the four official files. The pipeline runs up to the export, and `make gate` judges.
"""

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from scripts.demo import project_environment

from .project import generated, measure, served_folder
from .report import RESULTS, write

INSIDE = Path(__file__).parent / "peers/compress.py"
# The float32 form of what the stage has made, and the parameters that make it.
CHOICES = {
    "cnn": {
        "none": "",
        "pruning to width 12": "compress.pruned_width=12",
        "distillation, width 12": "compress.pruned_width=null compress.student_width=12",
    },
    "resnet": {
        "none": "compress.student_width=null",
        "distillation into the CNN": "compress.student_width=16",
    },
}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    parser.add_argument("--epochs", type=int, default=16, help="of training and of each method")
    arguments = parser.parse_args()
    epochs: int = arguments.epochs
    rows: list[Row] = []
    with (
        generated({"dataset": "fashion-mnist"}) as project,
        served_folder(arguments.data) as url,
    ):
        measure(project, "make", "setup")
        set_params(project, f"train.epochs={epochs} compress.epochs={epochs} compress.int8=true")
        for model, choices in CHOICES.items():
            set_params(project, f"model.name={model}")
            for method, parameters in choices.items():
                set_params(project, parameters)
                rows += measure_choice(project, url, model, method)
                table(rows, epochs)
                plot()


def set_params(project: Path, parameters: str) -> None:
    measure(project, "make", "params", env={"PARAMETERS": parameters})


def measure_choice(project: Path, url: str, model: str, method: str) -> list[Row]:
    """The float32 file and the int8 file, which is the one that the gate has judged."""
    measure(project, "uv", "run", "dvc", "repro", "export", env={"DATA_SOURCE_URL": url})
    output = measure(project, "uv", "run", "python", str(INSIDE)).output
    found: dict[str, Row] = json.loads(output.splitlines()[-1])
    gate = subprocess.run(
        ["make", "gate"], cwd=project, env=project_environment(), capture_output=True
    )
    verdict = "failed" if gate.returncode else "passed"
    names = (method, "int8" if method == "none" else f"{method}, int8")
    return [
        found["float32"] | {"model": model, "method": names[0], "gate": ""},
        found["int8"] | {"model": model, "method": names[1], "gate": verdict},
    ]


def difference(row: Row, rows: list[Row]) -> npt.NDArray[np.float64]:
    """Mean and 95 % paired interval of the change of accuracy, in points."""
    first = next(other for other in rows if other["model"] == row["model"])
    changes = 100 * (np.array(row["correct"], float) - np.array(first["correct"], float))
    half = 1.96 * changes.std() / np.sqrt(len(changes))
    return np.array([changes.mean(), changes.mean() - half, changes.mean() + half])


def table(rows: list[Row], epochs: int) -> None:
    cells = []
    for row in rows:
        first = next(other for other in rows if other["model"] == row["model"])
        mean, low, high = difference(row, rows)
        cells.append(
            [
                row["model"],
                row["method"],
                f"{row['bytes'] / 1000:,.0f}",
                f"{100 * row['bytes'] / first['bytes']:.0f} %",
                *(f"{latency:.3f}" for latency in row["latencies"]),
                f"{100 * np.mean(row['correct']):.2f} %",
                f"{mean:+.2f} ({low:+.2f} to {high:+.2f})" if row is not first else "",
                row["gate"],
            ]
        )
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    vnni = "with VNNI" if {"avx512_vnni", "avx_vnni"} & set(flags) else "without VNNI"
    write(
        "compress",
        f"Compression on Fashion-MNIST: {epochs} epochs each, one thread, a processor {vnni}",
        f"python -m benchmarks.compress --data FOLDER --epochs {epochs}",
        [
            *("model", "method", "KB", "size", "batch of 1, ms", "batch of 16, ms"),
            *("test accuracy", "difference in points (95 % paired interval)", "gate"),
        ],
        cells,
    )


def plot() -> None:
    """Draw the change of accuracy over the size, as the table has them."""
    text = (RESULTS / "compress.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1:] for line in text.splitlines() if line.startswith("|")]
    plt.rcParams["svg.hashsalt"] = "compress"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for model, method, size, *_, change, _, _ in lines[2:]:
        numbers = [float(number) for number in re.findall(r"[+-]\d+\.\d+", change)]
        if not numbers:
            continue  # what the others are compared with
        mean, low, high = numbers
        color = "C0" if model.strip() == "cnn" else "C1"
        kilobytes = float(size.replace(",", ""))
        axes.errorbar(
            kilobytes, mean, [[mean - low], [high - mean]], fmt="o", color=color, capsize=3
        )
        label = f"{model.strip()}: {method.strip()}"
        axes.annotate(label, (kilobytes, mean), (5, 4), textcoords="offset points", fontsize=7)
    axes.axhline(-0.5, color="grey", linestyle=":")
    axes.set(xscale="log", xlabel="size of the ONNX file, KB", ylabel="change of accuracy, points")
    axes.set_xlim(50, 900)
    axes.set_xticks([60, 100, 200, 300, 500], ["60", "100", "200", "300", "500"])
    axes.minorticks_off()
    figure.savefig(RESULTS / "compress.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
