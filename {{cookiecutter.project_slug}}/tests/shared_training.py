"""A training run of a small network on digits, alone or as one of several processes.

Usage, from the project's root folder: torchrun --standalone --nproc-per-node 2 \
    -m tests.shared_training FOLDER NUM_IMAGES NUM_EPOCHS {cnn,vit}

The Vision Transformer's weights are shared out between the processes.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from package_name.data.dataset import Split
from package_name.models.cnn import CNN
from package_name.models.normalize import Normalize
from package_name.models.vit import ViT
from package_name.training.distributed import join_world, leave
from package_name.training.interruption import (
    EXIT_CODE,
    TrainingStoppedError,
)
from package_name.training.loop import train

from .train_config import TRAIN_CONFIG

CPU = torch.device("cpu")


def digits(start: int, stop: int) -> Split:
    """Scanned digits as uint8 (N, 1, 8, 8)."""
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return Split(images[start:stop], data.target[start:stop].astype(np.int64))


def main(folder: Path, num_images: int, num_epochs: int, network: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    # Adam divides by gradients however small, so rounding errors grow; without dropout, processes
    # draw no random numbers of their own.
    config = replace(
        TRAIN_CONFIG,
        epochs=num_epochs,
        shard_weights=network == "vit",
        optimizer="adamw" if network == "vit" else "sgd",
        learning_rate=0.001 if network == "vit" else 0.02,
        horizontal_flip=True,
        patience=num_epochs,
    )
    layers: nn.Module = CNN(1, 10, width=4, dropout=0.0)
    if network == "vit":
        layers = ViT(1, 10, image_size=8, width=32, depth=2)
    with join_world(CPU) as world:
        train(
            nn.Sequential(Normalize([0.3], [0.38]), layers),
            digits(0, num_images),
            digits(1000, 1101),
            config,
            device=CPU,
            checkpoint=folder / "last.pt",
            fingerprint="digits",
            world=world,
            on_epoch=lambda row: _tell(row.epoch, world.rank),
        )


def _tell(epoch: int, rank: int) -> None:
    # As one string: torchrun's processes do not buffer, and their lines share a pipe.
    print(f"{epoch} {rank} {os.getpid()}\n", end="", flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    except TrainingStoppedError:
        leave(EXIT_CODE)
    leave(0)
