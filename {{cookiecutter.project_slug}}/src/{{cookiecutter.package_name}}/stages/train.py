"""Stage 3: train, and write `checkpoints/best.pt`, `metrics/train.json` and the learning curves.

On SIGTERM it saves its state and exits with code 143; the same command then continues. `torchrun`
starts it as several processes, of which the first writes the files; its own exit code is then 1.
"""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from dvclive.live import Live

from ..config import load_config
from ..data.dataset import load_info, load_split
from ..models import build_model, count_parameters
from ..provenance import describe_hardware
from ..training.checkpoint import run_fingerprint, save_model
from ..training.device import choose_device
from ..training.distributed import World, join_world, leave
from ..training.interruption import EXIT_CODE, TrainingStoppedError
from ..training.loop import TrainResult, train
from ..training.run import EpochResult
from ._main import run

DATA = Path("data/prepared")
CHECKPOINTS = Path("checkpoints")
METRICS = Path("metrics")


def main() -> None:
    config = load_config()
    info = load_info(DATA)
    device = choose_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, info)
    with join_world(device) as world, _live(world) as log:
        result = train(
            model,
            load_split(DATA, "train"),
            load_split(DATA, "validation"),
            config.train,
            device=device,
            checkpoint=CHECKPOINTS / "last.pt",
            fingerprint=run_fingerprint(config, info),
            world=world,
            on_epoch=log,
        )
    if not world.is_main:
        return
    save_model(result.best_weights, config.model, info, CHECKPOINTS / "best.pt")
    _write_curves(result.history, METRICS / "curves.csv")
    summary = {
        "epochs": len(result.history),
        "best_epoch": result.best.epoch,
        "best_validation_accuracy": result.best.validation_accuracy,
        "num_parameters": count_parameters(model),
        "seconds": round(result.seconds, 2),
        "images_per_second": round(_median_speed(result), 1),
        "device": device.type,
        "num_processes": world.size,
        "hardware": describe_hardware(device),
    }
    (METRICS / "train.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _live(world: World) -> Iterator[Callable[[EpochResult], None]]:
    """Shows each epoch in DVC's plots and in VS Code while training goes on."""
    if not world.is_main:
        yield lambda _: None
        return
    with Live(str(METRICS / "live"), dvcyaml=None, save_dvc_exp=False) as live:
        yield lambda epoch: _log(live, epoch)


def _log(live: Live, epoch: EpochResult) -> None:
    live.step = epoch.epoch
    for part in ("train", "validation"):
        for quantity in ("loss", "accuracy"):
            live.log_metric(f"{part}/{quantity}", getattr(epoch, f"{part}_{quantity}"))
    live.log_metric("learning_rate", epoch.learning_rate)
    live.make_summary()


def _median_speed(result: TrainResult) -> float:
    speeds = sorted(row.images_per_second for row in result.history)
    return speeds[len(speeds) // 2]


def _write_curves(history: list[EpochResult], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(history[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


if __name__ == "__main__":
    try:
        run(main)
    except TrainingStoppedError:
        print("stopped by SIGTERM; the state is saved, and the same command continues")
        leave(EXIT_CODE)
    leave(0)
