"""Two processes under the real torchrun learn what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from package_name.data.loader import BatchLoader
from package_name.training.distributed import Process

from .digits import digits
from .training_run import CPU, largest_difference, saved_state, train_on_noise

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


def torchrun(*options: str, folder: Path, arguments: list[str]) -> int:
    """Train in two processes with the checkpoint in `folder`; `arguments`: see training_run.py."""
    options = ("--monitor-interval=0.1", *options)
    command = [*TORCHRUN, *options, "-m", "tests.training_run", str(folder), *arguments]
    # A store of its own for each start, as docs/training.md says.
    env = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return subprocess.run(command, env=env, cwd=Path(__file__).parents[1]).returncode


def test_two_processes_end_an_epoch_with_the_weights_and_curves_of_one(tmp_path: Path) -> None:
    # Of the last batch, one process has an image and the other none; it has one micro-batch, not 2.
    num_images = 9 * 64 + 1
    train_on_noise(tmp_path / "one", num_images, 1, "cnn")
    assert torchrun(folder=tmp_path / "two", arguments=[str(num_images), "1", "cnn"]) == 0
    one, two = (saved_state(tmp_path / name) for name in ("one", "two"))
    assert largest_difference(one["model"], two["model"]) < 1e-5
    for key in CURVES:
        assert one["history"][0][key] == pytest.approx(two["history"][0][key], abs=1e-4)


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_slices_of_all_ranks_are_the_whole_epoch(world_size: int) -> None:
    def loader(rank_slice: slice) -> BatchLoader:
        return BatchLoader(
            digits(0, 577),
            batch_size=64,
            device=CPU,
            crop_padding=1,
            horizontal_flip=True,
            rank_slice=rank_slice,
        )

    whole = list(loader(slice(None)).epoch(1))
    processes = [Process(rank, rank, world_size) for rank in range(world_size)]
    slices = [list(loader(process.rank_slice).epoch(1)) for process in processes]
    for step, (images, labels) in enumerate(whole):
        for rank in range(world_size):
            slice_images, slice_labels = slices[rank][step]
            assert slice_images.equal(images[rank::world_size])
            assert slice_labels.equal(labels[rank::world_size])
