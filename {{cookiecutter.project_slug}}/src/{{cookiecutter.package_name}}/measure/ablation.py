"""What each switch of params.yaml brings, over several seeds: `make bench-train`.

Writes docs/ablation.md and docs/ablation.svg. Accuracy is that on the validation split: the test
split is for the final model alone.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib import style
from tqdm import tqdm

from ..config import Config, load_config
from ..data.dataset import DatasetInfo, load_info, load_split
from ..files import write_text
from ..models import build_model
from ..paths import DOCS, PREPARED
from ..provenance import describe_hardware
from ..reporting.panels import BLUE, LIGHT_BLUE, STYLE
from ..stages._main import run_main
from ..training.device import choose_device
from ..training.loop import TrainResult, train

MARGIN = 0.005  # below the mean accuracy of the reference: what a run has to reach
REFERENCE = "as in `params.yaml`"
SWITCHES: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "`precision: float32`": {"precision": "float32"},
    "`data_location: disk`": {"data_location": "disk"},
    "`accumulation_steps: 4`": {"accumulation_steps": 4},
    "`compile: true`": {"compile": True},
    "`fused_loss: true`": {"fused_loss": True},
    "`ema_decay: 0.99`": {"ema_decay": 0.99},
    "`optimizer: muon`": {"optimizer": "muon"},
    "`optimizer: sgd`, `learning_rate: 0.1`": {"optimizer": "sgd", "learning_rate": 0.1},
    "no crops, no flips": {"crop_padding": 0, "horizontal_flip": False},
}
NEEDS: dict[str, tuple[Callable[[torch.device], bool], str]] = {
    "compile": (lambda _: shutil.which("g++") is not None, "a C++ compiler"),
    "fused_loss": (lambda device: device.type == "cuda", "CUDA"),
}


@dataclass
class Runs:
    """Of one switch, a value for each seed. curves: seconds so far and accuracy by epoch."""

    speeds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    curves: list[list[tuple[float, float]]] = field(default_factory=list)

    def add(self, result: TrainResult, num_images: int) -> None:
        # The first epoch also warms up, and compiles.
        steady = [row.images_per_second for row in result.history[1:] or result.history]
        self.speeds.append(statistics.median(steady))
        self.accuracies.append(result.best.validation_accuracy)
        seconds = itertools.accumulate(num_images / row.images_per_second for row in result.history)
        accuracies = (row.validation_accuracy for row in result.history)
        self.curves.append(list(zip(seconds, accuracies, strict=True)))

    def seconds_to(self, goal: float) -> str:
        """Median over the seeds of the training time until the goal is reached."""
        times = [
            next((seconds for seconds, accuracy in curve if accuracy >= goal), float("inf"))
            for curve in self.curves
        ]
        median = statistics.median(times)
        return f"{median:.1f}" if median < float("inf") else "not reached"

    @property
    def speed(self) -> float:
        """Images per second, median over the seeds."""
        return statistics.median(self.speeds)

    @property
    def spread(self) -> float:
        """Standard deviation of the accuracy over the seeds."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def main() -> None:
    """Train with every switch, and write table and plot."""
    parser = argparse.ArgumentParser(description="Measure what each switch of params.yaml brings.")
    parser.add_argument("--epochs", type=int, help="of each run; without it, those of params.yaml")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    config, info = load_config(), load_info(PREPARED)
    if arguments.epochs:
        config = replace(config, train=replace(config.train, epochs=arguments.epochs))
    device = choose_device(config.train.device)
    runs = {name: Runs() for name in SWITCHES if not _missing(name, device)}
    # Seed by seed, so that a slow minute of the machine is shared by all.
    for seed, name in tqdm(list(itertools.product(range(arguments.seeds), runs)), disable=None):
        runs[name].add(_run(config, info, seed, SWITCHES[name]), info.num_images("train"))
    text = _document(runs, config, info, arguments.seeds)
    write_text(DOCS / "ablation.md", text)
    _plot(runs)
    print(text, end="")


def _missing(name: str, device: torch.device) -> str:
    """What this machine lacks for a switch; empty where it has all."""
    needs = (NEEDS[key] for key in SWITCHES[name] if key in NEEDS)
    return ", ".join(what for is_there, what in needs if not is_there(device))


def _run(config: Config, info: DatasetInfo, seed: int, changes: dict[str, Any]) -> TrainResult:
    settings = replace(config.train, seed=seed, patience=config.train.epochs, **changes)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        return train(
            build_model(config.model, info),
            load_split(PREPARED, "train"),
            load_split(PREPARED, "validation"),
            settings,
            device=choose_device(settings.device),
            checkpoint=Path(folder, "last.pt"),
            fingerprint="",
        )


def _document(runs: dict[str, Runs], config: Config, info: DatasetInfo, num_seeds: int) -> str:
    reference = runs[REFERENCE]
    goal = round(statistics.mean(reference.accuracies) - MARGIN, 3)
    rows = [
        f"| {name} | {r.speed:,.0f} | {r.speed / reference.speed:.2f} "
        f"| {statistics.mean(r.accuracies):.4f} ± {r.spread:.4f} | {r.seconds_to(goal)} |"
        for name, r in runs.items()
    ]
    device = choose_device(config.train.device)
    rows += [
        f"| {name} | needs {_missing(name, device)} | | | |"
        for name in SWITCHES
        if name not in runs
    ]
    today = datetime.now(UTC).date().isoformat()
    lines = [
        "# What each switch brings",
        "",
        f"{info.name}, {config.model.name}, {config.train.epochs} epochs, {num_seeds} seeds; one "
        "switch is changed at a time.",
        "",
        f"| switch | images/s | times | validation accuracy | seconds to {goal} |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        "![Speed and accuracy of each switch](ablation.svg)",
        "",
        f"Written by `make bench-train` on {describe_hardware(device)}, {today}. Accuracy: of the "
        "best epoch, mean and standard deviation over the seeds. Seconds: of training, without "
        "validation, median. What the switches do: [training.md](training.md).",
    ]
    return "\n".join(lines) + "\n"


def _plot(runs: dict[str, Runs]) -> None:
    names = [name.replace("`", "") for name in runs][::-1]
    speeds = [r.speed for r in runs.values()][::-1]
    means = [100 * statistics.mean(r.accuracies) for r in runs.values()][::-1]
    spreads = [100 * r.spread for r in runs.values()][::-1]
    with style.context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, sharey=True, figsize=(9, 0.8 + 0.36 * len(runs)), layout="constrained"
        )
        left.barh(names, speeds, color=LIGHT_BLUE)
        left.set(title="Images per second")
        right.errorbar(means, names, xerr=spreads, fmt="o", color=BLUE, capsize=3)
        right.set(title="Accuracy in %, with its spread")
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
        figure.savefig(DOCS / "ablation.svg", metadata={"Date": None})


if __name__ == "__main__":
    run_main(main)
