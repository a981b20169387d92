"""A training run that takes seconds, for tests that end it at any moment."""

import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from package_name.data.dataset import Split
from package_name.training.interruption import (
    EXIT_CODE,
    TrainingStoppedError,
)
from package_name.training.loop import TrainResult, train
from package_name.training.run import EpochResult

from .train_config import TRAIN_CONFIG


def random_split(num_images: int, seed: int) -> Split:
    """Noise (N, 1, 8, 8) labelled by which half is brighter: enough to move the weights."""
    images = np.random.default_rng(seed).integers(0, 256, (num_images, 1, 8, 8), dtype=np.uint8)
    left, right = images[..., :4].sum(axis=(1, 2, 3)), images[..., 4:].sum(axis=(1, 2, 3))
    return Split(images, (left > right).astype(np.int64))


class SmallNetwork(nn.Module):
    """With dropout, so that its random numbers have to be continued too."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2) of pixels uint8 (N, 1, 8, 8)."""
        logits: torch.Tensor = self.layers(images.float() / 255)
        return logits


def train_small(
    folder: Path, num_epochs: int, on_epoch: Callable[[EpochResult], None] = lambda _: None
) -> TrainResult:
    """Train with everything on that uses random numbers."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = replace(TRAIN_CONFIG, epochs=num_epochs, batch_size=16, patience=num_epochs)
    return train(
        SmallNetwork(),
        random_split(72, seed=0),
        random_split(32, seed=1),
        config,
        device=torch.device("cpu"),
        checkpoint=folder / "last.pt",
        fingerprint="small",
        on_epoch=on_epoch,
    )


def train_and_tell(folder: Path, num_epochs: int, teller: Connection) -> None:
    """`train_small` as a process of its own: sends each epoch's number once it is saved."""
    try:
        train_small(folder, num_epochs, on_epoch=lambda result: teller.send(result.epoch))
    except TrainingStoppedError:
        sys.exit(EXIT_CODE)
