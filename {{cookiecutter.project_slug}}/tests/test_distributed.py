"""Several processes under the real torchrun do what one does, and go on where one of them ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from package_name.data.loader import BatchLoader
from package_name.training.checkpoint import load_run
from package_name.training.distributed import World

from .shared_training import CPU, digits

PYTHON = [sys.executable, "-m"]
TORCHRUN = [*PYTHON, "torch.distributed.run", "--standalone"]
TWO = [*TORCHRUN, "--nproc-per-node=2", "--max-restarts=3", "--monitor-interval=0.1", "-m"]


def train(
    launcher: list[str],
    folder: Path,
    *,
    num_images: int = 600,
    num_epochs: int = 1,
    network: str = "cnn",
    on_epoch: Callable[[int, int, int], None] = lambda *_: None,
) -> int:
    """Train in processes of their own; `on_epoch` gets epoch, rank and process id.

    Returns:
        The exit code.
    """
    arguments = [str(folder), str(num_images), str(num_epochs), network]
    # A store of its own for each start, as docs/training.md says.
    env = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    command = [*launcher, "tests.shared_training", *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            epoch, rank, pid = (int(number) for number in line.split())
            on_epoch(epoch, rank, pid)
    return process.returncode


def state(folder: Path) -> dict[str, Any]:
    found = load_run(folder / "last.pt")
    assert found is not None
    return found


def difference(one: Path, other: Path) -> float:
    """The largest between any two weights."""
    weights = [state(folder)["model"].values() for folder in (one, other)]
    return max(float((a - b).abs().max()) for a, b in zip(*weights, strict=True))


def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    num_images = 9 * 64 + 1  # of the last batch, one process has a picture and the other none
    assert train(PYTHON, tmp_path / "one", num_images=num_images) == 0
    assert train(TWO, tmp_path / "two", num_images=num_images) == 0
    assert difference(tmp_path / "one", tmp_path / "two") < 1e-5
    one, two = (state(tmp_path / name)["history"][0] for name in ("one", "two"))
    for key in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert one[key] == pytest.approx(two[key], abs=1e-4)


@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_an_epoch_are_the_whole_epoch(size: int) -> None:
    def loader(share: slice) -> BatchLoader:
        return BatchLoader(
            digits(0, 577),
            batch_size=64,
            device=CPU,
            crop_padding=1,
            horizontal_flip=True,
            share=share,
        )

    whole = list(loader(slice(None)).epoch(1))
    shares = [list(loader(World(rank, rank, size).share).epoch(1)) for rank in range(size)]
    for step, (images, labels) in enumerate(whole):
        for rank in range(size):
            share, share_labels = shares[rank][step]
            assert share.equal(images[rank::size])
            assert share_labels.equal(labels[rank::size])


def test_a_killed_process_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_at_third(epoch: int, rank: int, pid: int) -> None:
        if (epoch, rank) == (3, 1) and not killed:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    assert train(TWO, tmp_path / "undisturbed", num_epochs=6) == 0
    assert train(TWO, tmp_path / "killed", num_epochs=6, on_epoch=kill_at_third) == 0
    assert killed
    assert difference(tmp_path / "undisturbed", tmp_path / "killed") == 0


def test_a_run_of_two_processes_is_continued_by_one(tmp_path: Path) -> None:
    def stop_at_second(epoch: int, rank: int, pid: int) -> None:
        if (epoch, rank) == (2, 0):
            os.kill(pid, signal.SIGTERM)

    once = [argument for argument in TWO if not argument.startswith("--max-restarts")]
    assert train(once, tmp_path / "a", num_epochs=4, on_epoch=stop_at_second) != 0
    assert not state(tmp_path / "a")["finished"]
    assert train(PYTHON, tmp_path / "a", num_epochs=4) == 0
    assert train(PYTHON, tmp_path / "b", num_epochs=4) == 0
    # Rounding differs, and where two pixels are equal but for that, max pooling takes another one.
    losses = [[row["train_loss"] for row in state(tmp_path / name)["history"]] for name in "ab"]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_shared_out_weights_learn_what_whole_ones_do_and_go_on_as_such(tmp_path: Path) -> None:
    def stop_at_first(epoch: int, rank: int, pid: int) -> None:
        if (epoch, rank) == (1, 0):
            os.kill(pid, signal.SIGTERM)

    once = [argument for argument in TWO if not argument.startswith("--max-restarts")]
    assert train(once, tmp_path / "a", num_epochs=2, network="vit", on_epoch=stop_at_first) != 0
    assert not state(tmp_path / "a")["finished"]
    assert train(PYTHON, tmp_path / "a", num_epochs=2, network="vit") == 0
    assert train(PYTHON, tmp_path / "b", num_epochs=2, network="vit") == 0
    assert difference(tmp_path / "a", tmp_path / "b") < 1e-4
