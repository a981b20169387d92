"""Data parallelism under `torchrun`; world_size is 1 without it.

Each process has a copy of the model and a slice of every batch, and DDP all-reduces the gradients
(Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704).
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from ..models.vit import ViT
from .batchnorm import sync_batch_norm_on_cpu


@dataclass(frozen=True)
class Process:
    """One of the `world_size` processes that train together: this one.

    rank: 0 to `world_size` - 1. local_rank: the same among those of this machine.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes the files and shows the progress."""
        return self.rank == 0

    @property
    def rank_slice(self) -> slice:
        """The rows of each batch that this process works on: one of every `world_size`."""
        return slice(self.rank, None, self.world_size)


SINGLE_PROCESS = Process()


@contextmanager
def process_group(device: torch.device) -> Iterator[Process]:
    """Join the processes that `torchrun` started, for as long as the block lasts."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # not started by torchrun
        yield SINGLE_PROCESS
        return
    variables = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    process = Process(*(int(os.environ[variable]) for variable in variables))
    if device.type == "cuda":
        torch.cuda.set_device(process.local_rank)
    # With GPUs, gloo as well as NCCL: `all_reduce_any` works on a CPU tensor in each step, and so
    # does not wait for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield process
    finally:
        dist.destroy_process_group()


def exit_without_cleanup(exit_code: int) -> NoReturn:
    """End a process that was in a process group.

    A thread of gloo may still hold a tensor of the last collective. Before Python 3.14, freeing it
    while Python cleans up aborts the process (python/cpython#87135), and `torchrun` starts again.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def wrap_ddp(model: nn.Module, process: Process, *, sync_batch_norm: bool) -> nn.Module:
    """Apply DDP, so that a backward pass leaves the mean gradient over all processes.

    Args:
        sync_batch_norm: normalise by the statistics of the whole batch, as one process would, and
            not by those of this process's slice.
    """
    if process.world_size == 1:
        return model
    if sync_batch_norm:
        if next(model.parameters()).is_cuda:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:
            sync_batch_norm_on_cpu(model)
    # No broadcast of buffers before each forward pass: they do not change what is learned, and
    # `broadcast_buffers` once an epoch is enough. PyTorch 2.13 renamed the argument; 2.11 does not
    # know the new name.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


def wrap_fsdp(model: nn.Module, process: Process) -> nn.Module:
    """Apply FSDP2 to each block of a Vision Transformer; no-op for world_size 1.

    Each process keeps a shard of every weight, its gradient and its moments, and gathers the full
    weights of one block at a time (Zhao et al. 2023, arXiv:2304.11277; Rajbhandari et al. 2019,
    arXiv:1910.02054). For models that do not fit on one device.
    """
    if process.world_size > 1:
        (vit,) = (module for module in model.modules() if isinstance(module, ViT))
        for block in vit.blocks:
            fully_shard(block)
        fully_shard(model)  # what is in no block: patch embedding, positions, head
    return model


def no_sync(wrapped_model: nn.Module) -> AbstractContextManager[None]:
    """Let a backward pass accumulate gradients without the all-reduce."""
    if isinstance(wrapped_model, DistributedDataParallel):
        return wrapped_model.no_sync()
    return nullcontext()


def broadcast_buffers(model: nn.Module, process: Process) -> None:
    """Give all processes the buffers of rank 0: the running statistics of batch normalisation."""
    if process.world_size > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def all_reduce_sum(values: Tensor, process: Process) -> Tensor:
    """The sum of `values` over all processes."""
    if process.world_size > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def all_reduce_any(flag: bool, process: Process) -> bool:
    """Whether the flag is set in any process; all get the same answer."""
    return bool(all_reduce_sum(torch.tensor(float(flag)), process))


def broadcast_object(value: Any, process: Process) -> Any:
    """The value of rank 0, in all processes."""
    values = [value]
    if process.world_size > 1:
        dist.broadcast_object_list(values)
    return values[0]
