"""Stage 3: train, and write `checkpoints/best.pt`, `metrics/train.json` and the learning curves.

On SIGTERM it saves its state and exits with code 143; the same command then continues. `torchrun`
starts it as several processes, of which rank 0 writes the files; its own exit code is then 1.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch
from dvclive.live import Live

from ..config import load_config
from ..data.dataset import load_info, load_split
from ..files import write_csv, write_json
from ..models import build_model, count_parameters
from ..paths import BEST_MODEL, CHECKPOINTS, CURVES, METRICS, PREPARED, TRAINING
from ..provenance import describe_hardware, run_fingerprint
from ..training.checkpoint import save_model
from ..training.device import choose_device
from ..training.distributed import Process, exit_without_cleanup, process_group
from ..training.interruption import EXIT_CODE, MESSAGE, TrainingStoppedError
from ..training.loop import train
from ..training.state import EpochResult
from ._main import run_main


def main() -> None:
    config = load_config()
    info = load_info(PREPARED)
    device = choose_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, info)
    with process_group(device) as process, _live(process) as log:
        state = train(
            model,
            load_split(PREPARED, "train"),
            load_split(PREPARED, "validation"),
            config.train,
            device=device,
            checkpoint=CHECKPOINTS / "last.pt",
            fingerprint=run_fingerprint(config, info),
            process=process,
            on_epoch=log,
        )
    if not process.is_main:
        return
    save_model(state.best_weights, config.model, info, BEST_MODEL)
    rows = [asdict(epoch) for epoch in state.history]
    write_csv(CURVES, rows[0], (row.values() for row in rows))
    summary = {
        "epochs": len(state.history),
        "best_epoch": state.best.epoch,
        "best_validation_accuracy": state.best.validation_accuracy,
        "num_parameters": count_parameters(model),
        "seconds": round(state.seconds, 2),
        "images_per_second": round(
            statistics.median(epoch.images_per_second for epoch in state.history), 1
        ),
        "device": device.type,
        "num_processes": process.world_size,
        "hardware": describe_hardware(device),
    }
    write_json(TRAINING, summary)


@contextmanager
def _live(process: Process) -> Iterator[Callable[[EpochResult], None]]:
    """Shows each epoch in DVC's plots and in VS Code while training goes on."""
    if not process.is_main:
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


def _main_or_stop() -> None:
    try:
        main()
    except TrainingStoppedError:
        print(MESSAGE)
        exit_without_cleanup(EXIT_CODE)


if __name__ == "__main__":
    run_main(_main_or_stop)
    exit_without_cleanup(0)
