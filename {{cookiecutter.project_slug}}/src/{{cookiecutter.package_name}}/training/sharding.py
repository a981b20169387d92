"""FSDP2: each process keeps a shard of every weight, and gathers the rest for one block at a time.

Zhao et al. 2023, arXiv:2304.11277; Rajbhandari et al. 2019 (ZeRO), arXiv:1910.02054. For models
whose weights, gradients and moments do not fit on one device.

Checkpoints hold full tensors by name, so another number of processes can go on from them. The
modules of `torch.distributed` for that are imported where they are needed: with all that they
import they take as long as a small network trains, and only `shard_weights: true` needs them.
"""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..models.vit import TransformerBlock
from .distributed import Process


def wrap_fsdp(model: nn.Module, process: Process) -> nn.Module:
    """Apply FSDP2 to each block of a Vision Transformer; no-op for world_size 1."""
    from torch.distributed.fsdp import fully_shard

    if process.world_size > 1:
        for module in model.modules():
            if isinstance(module, TransformerBlock):
                fully_shard(module)
        fully_shard(model)  # what is in no block: patches, positions, head
    return model


def full_state_dict(model: nn.Module, *, sharded: bool) -> dict[str, Any]:
    """The weights by name; if sharded, gathered on rank 0. All processes have to call it."""
    if not sharded:
        return model.state_dict()
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return get_model_state_dict(model, options=_full())


def full_optim_state_dict(
    model: nn.Module, optimizer: Optimizer, *, sharded: bool
) -> dict[str, Any]:
    """The optimizer's state; if sharded, by names of weights and gathered on rank 0."""
    if not sharded:
        return optimizer.state_dict()
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    return get_optimizer_state_dict(model, optimizer, options=_full())


def load_full_state_dicts(
    model: nn.Module, optimizer: Optimizer, state: dict[str, Any], *, sharded: bool
) -> None:
    """Load `state["model"]` and `state["optimizer"]`, which each process holds in full."""
    if not sharded:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return
    from torch.distributed.checkpoint.state_dict import set_state_dict

    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=_full(),
    )


def _full() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)
