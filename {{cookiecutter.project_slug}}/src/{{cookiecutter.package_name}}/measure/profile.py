"""Where the time of a training step goes: `make profile`.

Writes to build/profile/: `trace.json` for https://ui.perfetto.dev, a table and a plot.
"""

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib import style
from torch.profiler import ProfilerActivity, profile, record_function

from ..config import TrainConfig, load_config
from ..data.dataset import load_info, load_split
from ..data.loader import BatchLoader
from ..data.storage import Batch
from ..files import write_text
from ..models import build_model
from ..paths import BUILD, PREPARED
from ..provenance import describe_hardware
from ..reporting.panels import BLUE, STYLE
from ..stages._main import run_main
from ..training.device import choose_device
from ..training.distributed import ALONE
from ..training.loop import take_step
from ..training.run import TrainingRun

OUTPUT = BUILD / "profile"
NUM_WARM_UP, NUM_STEPS = 10, 30
NUM_ROWS = 12
READING = "Python, while a batch is read"  # the operations it calls have rows of their own


class Row(NamedTuple):
    """An operation by its own time, without that of the operations it calls."""

    name: str
    calls_per_step: float
    milliseconds_per_step: float


def main() -> None:
    """Train for some steps as params.yaml says, and look at each operation."""
    config = load_config()
    device = choose_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, load_info(PREPARED))
    run = TrainingRun(
        model, config.train, num_steps=NUM_WARM_UP + NUM_STEPS, device=device, world=ALONE
    )
    batches = _batches(config.train, device)
    for images, labels in islice(batches, NUM_WARM_UP):
        take_step(run, images, labels, len(labels))
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(NUM_STEPS):
            with record_function(READING):
                images, labels = next(batches)
            take_step(run, images, labels, len(labels))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(OUTPUT / "trace.json"))
    rows = _rows(profiler, device)
    batch_size = config.train.batch_size
    title = f"{config.model.name}, batches of {batch_size}, {describe_hardware(device)}"
    table = _table(rows, title)
    write_text(OUTPUT / "profile.md", table)
    _plot(rows, title)
    print(table, end="")


def _batches(config: TrainConfig, device: torch.device) -> Iterator[Batch]:
    loader = BatchLoader(
        load_split(PREPARED, "train"),
        batch_size=config.batch_size,
        device=device,
        location=config.data_location,
        crop_padding=config.crop_padding,
        horizontal_flip=config.horizontal_flip,
    )
    return chain.from_iterable(loader.epoch(number) for number in count(1))


def _rows(profiler: profile, device: torch.device) -> list[Row]:
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    rows = [
        Row(event.key, event.count / NUM_STEPS, getattr(event, key) / 1000 / NUM_STEPS)
        for event in profiler.key_averages()
    ]
    return sorted(rows, key=lambda row: row.milliseconds_per_step, reverse=True)


def _table(rows: list[Row], title: str) -> str:
    total = sum(row.milliseconds_per_step for row in rows)
    lines = [
        f"# Where a training step's {total:.1f} ms go",
        "",
        f"{title}; mean of {NUM_STEPS} steps under `torch.profiler`",
        "",
        "| operation | ms per step | share | calls per step |",
        "|---|---:|---:|---:|",
        *(
            f"| `{row.name}` | {row.milliseconds_per_step:.2f} "
            f"| {100 * row.milliseconds_per_step / total:.0f} % | {row.calls_per_step:.1f} |"
            for row in rows[:NUM_ROWS]
        ),
    ]
    return "\n".join(lines) + "\n"


def _plot(rows: list[Row], title: str) -> None:
    shown = rows[:NUM_ROWS][::-1]
    with style.context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        bars = axes.barh(
            [row.name for row in shown], [row.milliseconds_per_step for row in shown], color=BLUE
        )
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.set(xlabel="own time in ms per step", title=f"A training step: {title}")
        axes.grid(visible=False, axis="y")
        figure.savefig(OUTPUT / "profile.svg")


if __name__ == "__main__":
    run_main(main)
