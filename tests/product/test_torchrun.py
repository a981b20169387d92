"""Several processes that are killed, stopped, fewer than before, or that shard their weights."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from my_project.training import loop
from my_project.training.batchnorm import synchronise_batch_norm
from my_project.training.interruption import EXIT_CODE, TrainingStoppedError

from ..serving_helpers import free_port
from ..test_distributed import torchrun
from ..training_run import largest_difference, main, run_on_noise, saved_run

# Where torchrun itself is not what is tested: a fork of one process that has imported PyTorch.
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload([loop.__name__, "torch._dynamo"])
SIGKILL, SIGTERM = (str(int(number)) for number in (signal.SIGKILL, signal.SIGTERM))


def train_as(variables: dict[str, str], folder: str, run: list[str]) -> None:
    """What one of torchrun's processes does."""
    os.environ |= variables
    try:
        main(folder, *run)
    except TrainingStoppedError:
        sys.exit(EXIT_CODE)


def two_processes(folder: Path, *run: str) -> list[int | None]:
    """Train by two processes as torchrun starts them, and give their exit codes."""
    world = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": "2",
    }
    processes = [
        START.Process(
            target=train_as,
            args=(world | {"RANK": rank, "LOCAL_RANK": rank}, str(folder), list(run)),
        )
        for rank in ("0", "1")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_a_killed_process_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    run = ["600", "6", "cnn"]
    assert two_processes(tmp_path / "undisturbed", *run) == [0, 0]
    kill_second = [*run, "3", "1", SIGKILL]
    assert torchrun("--max-restarts=1", folder=tmp_path / "killed", run=kill_second) == 0
    weights = [saved_run(tmp_path / name)["model"] for name in ("undisturbed", "killed")]
    assert largest_difference(*weights) == 0


def test_a_run_of_two_processes_that_was_stopped_is_continued_by_one(tmp_path: Path) -> None:
    stop_first = ["600", "4", "cnn", "2", "0", SIGTERM]
    assert torchrun(folder=tmp_path / "stopped", run=stop_first) != 0
    assert not saved_run(tmp_path / "stopped")["finished"]
    runs = [run_on_noise(tmp_path / name, 600, 4, "cnn") for name in ("stopped", "undisturbed")]
    # Rounding differs, and where two pixels are equal but for that, max pooling takes another one.
    losses = [[row.train_loss for row in run.history] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_sharded_weights_learn_what_whole_ones_do_and_go_on_as_such(tmp_path: Path) -> None:
    stop_first = ["600", "2", "vit", "1", "0", SIGTERM]
    codes = two_processes(tmp_path / "sharded", *stop_first)
    assert codes == [EXIT_CODE] * 2
    assert not saved_run(tmp_path / "sharded")["finished"]
    for name in ("sharded", "whole"):
        run_on_noise(tmp_path / name, 600, 2, "vit")
    weights = [saved_run(tmp_path / name)["model"] for name in ("sharded", "whole")]
    assert largest_difference(*weights) < 1e-4


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_synchronised_batch_normalisation_does_what_pytorchs_own_does() -> None:
    torch.manual_seed(0)
    plain, synchronised = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    synchronise_batch_norm(synchronised)
    ours = torch.randn(5, 3, 4, 4, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.randn(5, 3, 4, 4)
    (synchronised(ours) * weights).sum().backward()
    (plain(theirs) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synchronised.state_dict()[name], value)


@pytest.mark.usefixtures("process_group")
def test_an_empty_part_of_a_batch_leaves_the_statistics_as_they_are() -> None:
    layer = nn.BatchNorm2d(3)
    synchronise_batch_norm(layer)
    layer(torch.randn(5, 3, 4, 4))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    empty = torch.zeros(0, 3, 4, 4, requires_grad=True)
    layer(empty).sum().backward()
    for name in ("running_mean", "running_var"):
        assert layer.state_dict()[name].equal(before[name])
    layer(torch.randn(1, 3, 1, 1)).sum().backward()
    assert all(value.isfinite().all() for value in layer.state_dict().values())
