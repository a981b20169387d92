"""What each switch of params.yaml brings, over several seeds: `make bench-train`.

Writes docs/ablation.md and docs/ablation.svg. Accuracy is that of the validation split: the test
split is only for the final model.
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
from ..training.loop import train
from ..training.state import TrainState

MARGIN = 0.005  # how far below the mean accuracy of the reference the goal is
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
class Measurements:
    """Of one switch, a value for each seed. curves: by epoch, the seconds so far and accuracy."""

    speeds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    curves: list[list[tuple[float, float]]] = field(default_factory=list)

    def add(self, state: TrainState, num_images: int) -> None:
        # The first epoch includes warm-up, and compilation.
        steady = [row.images_per_second for row in state.history[1:] or state.history]
        self.speeds.append(statistics.median(steady))
        self.accuracies.append(state.best.validation_accuracy)
        seconds = itertools.accumulate(num_images / row.images_per_second for row in state.history)
        accuracies = (row.validation_accuracy for row in state.history)
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
    parser.add_argument("--epochs", type=int, help="of each training; default: as in params.yaml")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    config, info = load_config(), load_info(PREPARED)
    if arguments.epochs:
        config = replace(config, train=replace(config.train, epochs=arguments.epochs))
    device = choose_device(config.train.device)
    measured = {name: Measurements() for name in SWITCHES if not _missing(name, device)}
    # Seed by seed, so that a slow minute of the machine affects all switches alike.
    for seed, name in tqdm(list(itertools.product(range(arguments.seeds), measured)), disable=None):
        measured[name].add(_train(config, info, seed, SWITCHES[name]), info.num_images("train"))
    text = _document(measured, config, info, arguments.seeds)
    write_text(DOCS / "ablation.md", text)
    _plot(measured)
    print(text, end="")


def _missing(name: str, device: torch.device) -> str:
    """What this machine lacks for a switch, or nothing."""
    needs = (NEEDS[key] for key in SWITCHES[name] if key in NEEDS)
    return ", ".join(what for is_there, what in needs if not is_there(device))


def _train(config: Config, info: DatasetInfo, seed: int, changes: dict[str, Any]) -> TrainState:
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


def _document(
    measured: dict[str, Measurements], config: Config, info: DatasetInfo, num_seeds: int
) -> str:
    reference = measured[REFERENCE]
    goal = round(statistics.mean(reference.accuracies) - MARGIN, 3)
    rows = [
        f"| {name} | {m.speed:,.0f} | {m.speed / reference.speed:.2f} "
        f"| {statistics.mean(m.accuracies):.4f} ± {m.spread:.4f} | {m.seconds_to(goal)} |"
        for name, m in measured.items()
    ]
    device = choose_device(config.train.device)
    rows += [
        f"| {name} | needs {_missing(name, device)} | | | |"
        for name in SWITCHES
        if name not in measured
    ]
    today = datetime.now(UTC).date().isoformat()
    lines = [
        "# What each switch brings",
        "",
        f"{info.name}, {config.model.name}, {config.train.epochs} epochs, {num_seeds} seeds; one "
        "switch is changed at a time.",
        "",
        f"| switch | images/s | speed-up | validation accuracy | seconds to {goal} |",
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


def _plot(measured: dict[str, Measurements]) -> None:
    names = [name.replace("`", "") for name in measured][::-1]
    rows = list(measured.values())[::-1]
    speeds = [row.speed for row in rows]
    means = [100 * statistics.mean(row.accuracies) for row in rows]
    spreads = [100 * row.spread for row in rows]
    with style.context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, sharey=True, figsize=(9, 0.8 + 0.36 * len(rows)), layout="constrained"
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
