"""Two processes under the real torchrun do what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from package_name.data.loader import BatchLoader
from package_name.training.distributed import World

from .digits import digits
from .training_run import CPU, largest_difference, run_on_noise, saved_run

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


def torchrun(*options: str, folder: Path, run: list[str]) -> int:
    """Train by two processes with the checkpoint in `folder`; see training_run.py for `run`."""
    options = ("--monitor-interval=0.1", *options)
    command = [*TORCHRUN, *options, "-m", "tests.training_run", str(folder), *run]
    # A store of its own for each start, as docs/training.md says.
    env = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return subprocess.run(command, env=env, cwd=Path(__file__).parents[1]).returncode


def test_two_processes_end_an_epoch_with_the_weights_and_curves_of_one(tmp_path: Path) -> None:
    num_images = 9 * 64 + 1  # of the last batch, one process has an image and the other none
    run_on_noise(tmp_path / "one", num_images, 1, "cnn")
    assert torchrun(folder=tmp_path / "two", run=[str(num_images), "1", "cnn"]) == 0
    one, two = (saved_run(tmp_path / name) for name in ("one", "two"))
    assert largest_difference(one["model"], two["model"]) < 1e-5
    for key in CURVES:
        assert one["history"][0][key] == pytest.approx(two["history"][0][key], abs=1e-4)


@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_an_epoch_are_the_whole_epoch(size: int) -> None:
    def loader(share: slice) -> BatchLoader:
        return BatchLoader(
            digits(0, 577),
            batch_size=64,
            device=CPU,
            crop_padding=1,
            horizontal_flip=True,
            rank_slice=share,
        )

    whole = list(loader(slice(None)).epoch(1))
    shares = [list(loader(World(rank, rank, size).share).epoch(1)) for rank in range(size)]
    for step, (images, labels) in enumerate(whole):
        for rank in range(size):
            share, share_labels = shares[rank][step]
            assert share.equal(images[rank::size])
            assert share_labels.equal(labels[rank::size])
