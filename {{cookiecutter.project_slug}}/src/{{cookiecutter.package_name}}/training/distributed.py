"""Several processes that train one model, as `torchrun` starts them; one alone is a world of one.

Each has a copy of the model and a share of every batch, and their gradients are summed (Li et al.
2020, "PyTorch Distributed", arXiv:2006.15704).
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .batchnorm import synchronise_batch_norm


@dataclass(frozen=True)
class World:
    """rank: of this process among all of them, 0 to `size` - 1. local_rank: on this machine."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and talks to people."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """The rows of a batch that are this process's: of each `size` rows, one."""
        return slice(self.rank, None, self.size)


ALONE = World()


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Meet the processes that `torchrun` started with this one, for as long as the block lasts."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    variables = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    world = World(*(int(os.environ[variable]) for variable in variables))
    if device.type == "cuda":
        torch.cuda.set_device(world.local_rank)
    # gloo is there on GPUs, too: for what the processes say to each other (see `agree`).
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield world
    finally:
        dist.destroy_process_group()


def leave(exit_code: int) -> NoReturn:
    """End a process that was in a world, without Python's clean-up.

    A thread of gloo may still hold a tensor of the last exchange. Before Python 3.14, letting go of
    it during the clean-up aborts the process (python/cpython#87135), and `torchrun` starts again.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def parallel(model: nn.Module, world: World, *, sync_batch_norm: bool) -> nn.Module:
    """`model`, such that a backward pass gives each process the mean gradient over all of them.

    sync_batch_norm: batch normalisation sees the whole batch, as in one process, and not a share.
    """
    if world.size == 1:
        return model
    if sync_batch_norm:
        synchronise_batch_norm(model)
    # Buffers do not change what is learned: `same_buffers` once an epoch is enough. PyTorch 2.13
    # has another name for the argument, which 2.11 does not know.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


def same_buffers(model: nn.Module, world: World) -> None:
    """Give all processes the main one's buffers: the statistics of batch normalisation."""
    if world.size > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def total(values: Tensor, world: World) -> Tensor:
    """The sum of `values` over all processes."""
    if world.size > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def agree(flag: bool, world: World) -> bool:
    """Whether any process says yes; all get the same answer, without waiting for their devices."""
    return bool(total(torch.tensor(float(flag)), world))


def from_all(value: Any, world: World) -> list[Any]:
    """The values of all processes, in the order of their ranks."""
    values = [value] * world.size
    if world.size > 1:
        dist.all_gather_object(values, value)
    return values


def from_main(value: Any, world: World) -> Any:
    """The main process's value, in all of them."""
    values = [value]
    if world.size > 1:
        dist.broadcast_object_list(values)
    return values[0]
