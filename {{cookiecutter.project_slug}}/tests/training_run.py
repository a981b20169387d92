"""Training that takes a second: called by a test, in a process of its own, or by torchrun.

Usage, from the project's root folder: torchrun --standalone --nproc-per-node 2 \
    -m tests.training_run FOLDER NUM_IMAGES NUM_EPOCHS {mlp,cnn,vit} [EPOCH RANK SIGNAL]

With a SIGNAL, the process of that rank sends it to itself after that epoch, the first time it is
started. The CNN has batch normalisation and accumulates gradients over two micro-batches; the
weights of the Vision Transformer are sharded.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from package_name.config import TrainConfig
from package_name.data.dataset import Split
from package_name.models.cnn import CNN
from package_name.models.normalize import Normalize
from package_name.models.vit import ViT
from package_name.training.checkpoint import load_checkpoint
from package_name.training.distributed import (
    SINGLE_PROCESS,
    Process,
    exit_without_cleanup,
    process_group,
)
from package_name.training.interruption import (
    EXIT_CODE,
    TrainingStoppedError,
)
from package_name.training.loop import train
from package_name.training.state import EpochResult, TrainState

CPU = torch.device("cpu")
TRAIN_CONFIG = TrainConfig(
    seed=0,
    device="cpu",
    precision="float32",
    data_location="device",
    compile=False,
    fused_loss=False,
    sync_batch_norm=True,
    shard_weights=False,
    epochs=4,
    batch_size=64,
    accumulation_steps=1,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.05,
    schedule="one-cycle",
    label_smoothing=0.05,
    ema_decay=0.0,
    crop_padding=1,
    horizontal_flip=False,
    patience=100,
)
# Adam divides by gradients however small, so rounding errors grow; SGD keeps them small.
CONFIGS = {
    "mlp": TRAIN_CONFIG,
    "cnn": replace(TRAIN_CONFIG, optimizer="sgd", learning_rate=0.02, accumulation_steps=2),
    "vit": replace(TRAIN_CONFIG, shard_weights=True, learning_rate=0.001, horizontal_flip=True),
}


def noise(num_images: int, seed: int) -> Split:
    """Noise (N, 1, 8, 8), labelled by which half is brighter: enough to move the weights."""
    images = np.random.default_rng(seed).integers(0, 256, (num_images, 1, 8, 8), dtype=np.uint8)
    left, right = images[..., :4].sum(axis=(1, 2, 3)), images[..., 4:].sum(axis=(1, 2, 3))
    return Split(images, (left > right).astype(np.int64))


def build(network: str, dropout: float = 0.0) -> nn.Module:
    """One of three small networks for 8x8 images of ten classes, always with the same weights."""
    torch.manual_seed(0)
    layers: nn.Module
    match network:
        case "cnn":
            layers = CNN(1, 10, width=4, dropout=dropout)
        case "vit":
            layers = ViT(1, 10, image_size=8, width=32, depth=2)
        case _:
            layers = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 32), nn.GELU(), nn.Dropout(dropout), nn.Linear(32, 10)
            )
    return nn.Sequential(Normalize([0.3], [0.38]), layers)


def train_in(
    folder: Path,
    model: nn.Module,
    config: TrainConfig = TRAIN_CONFIG,
    splits: tuple[Split, Split] | None = None,
    process: Process = SINGLE_PROCESS,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> TrainState:
    """Train with the checkpoint in `folder`; without `splits`, on noise."""
    train_split, validation_split = splits or (noise(200, seed=0), noise(101, seed=1))
    return train(
        model,
        train_split,
        validation_split,
        config,
        device=CPU,
        checkpoint=folder / "last.pt",
        fingerprint="small",
        process=process,
        on_epoch=on_epoch,
    )


def train_on_noise(
    folder: Path,
    num_images: int,
    num_epochs: int,
    network: str,
    process: Process = SINGLE_PROCESS,
    on_epoch: Callable[[int], None] = lambda _: None,
) -> TrainState:
    """What a process of its own trains. The MLP has dropout, whose masks have to be the same."""
    return train_in(
        folder,
        build(network, dropout=0.2 if network == "mlp" else 0.0),
        replace(CONFIGS[network], epochs=num_epochs),
        (noise(num_images, seed=0), noise(101, seed=1)),
        process,
        lambda result: on_epoch(result.epoch),
    )


def saved_state(folder: Path) -> dict[str, Any]:
    """The state in a checkpoint, which has to be undamaged."""
    state = load_checkpoint(folder / "last.pt")
    assert state is not None
    return state


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest between any two weights; 0 where all are the same to the bit."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def main(folder: str, num_images: str, num_epochs: str, network: str, *signal: str) -> None:
    is_first_start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    with process_group(CPU) as process:

        def send_signal(epoch: int) -> None:
            if is_first_start and signal[:2] == (str(epoch), str(process.rank)):
                os.kill(os.getpid(), int(signal[2]))

        size = int(num_images), int(num_epochs)
        train_on_noise(Path(folder), *size, network, process, send_signal)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TrainingStoppedError:
        exit_without_cleanup(EXIT_CODE)
    exit_without_cleanup(0)
