"""Several processes that are killed, stopped, resumed by fewer, or that shard their weights."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from my_project.training import loop
from my_project.training.batchnorm import sync_batch_norm_on_cpu
from my_project.training.interruption import EXIT_CODE, TrainingStoppedError

from ..serving_helpers import free_port
from ..test_distributed import torchrun
from ..training_run import largest_difference, main, saved_state, train_on_noise

# Where torchrun itself is not what is tested: a fork of one process that has imported PyTorch.
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload([loop.__name__, "torch._dynamo"])
SIGKILL, SIGTERM = (str(int(number)) for number in (signal.SIGKILL, signal.SIGTERM))


def train_as(variables: dict[str, str], folder: str, arguments: list[str]) -> None:
    """What one of torchrun's processes does."""
    os.environ |= variables
    try:
        main(folder, *arguments)
    except TrainingStoppedError:
        sys.exit(EXIT_CODE)


def two_processes(folder: Path, *arguments: str) -> list[int | None]:
    """Train in two processes as torchrun starts them; return their exit codes."""
    variables = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": "2",
    }
    processes = [
        START.Process(
            target=train_as,
            args=(variables | {"RANK": rank, "LOCAL_RANK": rank}, str(folder), list(arguments)),
        )
        for rank in ("0", "1")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_a_killed_process_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    arguments = ["600", "6", "cnn"]
    assert two_processes(tmp_path / "undisturbed", *arguments) == [0, 0]
    kill_second = [*arguments, "3", "1", SIGKILL]
    assert torchrun("--max-restarts=1", folder=tmp_path / "killed", arguments=kill_second) == 0
    weights = [saved_state(tmp_path / name)["model"] for name in ("undisturbed", "killed")]
    assert largest_difference(*weights) == 0


def test_two_processes_that_were_stopped_are_resumed_by_one(tmp_path: Path) -> None:
    stop_first = ["600", "4", "cnn", "2", "0", SIGTERM]
    assert torchrun(folder=tmp_path / "stopped", arguments=stop_first) != 0
    assert not saved_state(tmp_path / "stopped")["finished"]
    states = [train_on_noise(tmp_path / name, 600, 4, "cnn") for name in ("stopped", "undisturbed")]
    # Rounding differs, and where two pixels are equal but for that, max pooling takes another one.
    losses = [[row.train_loss for row in state.history] for state in states]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_sharded_weights_learn_what_full_ones_do_and_are_resumed_as_such(tmp_path: Path) -> None:
    stop_first = ["600", "2", "vit", "1", "0", SIGTERM]
    codes = two_processes(tmp_path / "sharded", *stop_first)
    assert codes == [EXIT_CODE] * 2
    assert not saved_state(tmp_path / "sharded")["finished"]
    for name in ("sharded", "full"):
        train_on_noise(tmp_path / name, 600, 2, "vit")
    weights = [saved_state(tmp_path / name)["model"] for name in ("sharded", "full")]
    assert largest_difference(*weights) < 1e-4


def normalise(rank: int, folder: str, x: Tensor, weights: Tensor) -> None:
    """Normalise this rank's slice, once, and save what comes out."""
    init = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    layer = nn.BatchNorm2d(x.shape[1])
    sync_batch_norm_on_cpu(layer)
    part = x[rank::2].clone().requires_grad_()
    (layer(part) * weights[rank::2]).sum().backward()
    torch.save((part.grad, layer.state_dict()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("num_images", [1, 2, 5])  # of one image, rank 1 has none
@pytest.mark.parametrize("offset", [0.0, 1000.0])  # E[x^2] - E[x]^2 has no right digit at 1000
def test_synchronised_batch_normalisation_is_pytorchs_own_over_all_slices(
    tmp_path: Path, num_images: int, offset: float
) -> None:
    torch.manual_seed(0)
    x = offset + torch.randn(num_images, 3, 4, 4)
    weights = torch.randn(x.shape)
    processes = [
        START.Process(target=normalise, args=(rank, str(tmp_path), x, weights)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    layer = nn.BatchNorm2d(3)
    whole = x.clone().requires_grad_()
    (layer(whole) * weights).sum().backward()
    assert whole.grad is not None
    for rank in (0, 1):
        gradient, state = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(gradient, whole.grad[rank::2], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(state, layer.state_dict(), rtol=1e-4, atol=1e-4)
