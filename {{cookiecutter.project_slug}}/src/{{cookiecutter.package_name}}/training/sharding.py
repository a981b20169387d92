"""Weights in parts: each process keeps a share of every matrix, and fetches the rest for a block.

FSDP2, after Zhao et al. 2023, arXiv:2304.11277, and Rajbhandari et al. 2019 (ZeRO),
arXiv:1910.02054. For models whose weights, gradients and moments do not fit on one device.
"""

from typing import Any

from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from ..config import TrainConfig
from ..models.vit import TransformerBlock
from .distributed import World

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: nn.Module, config: TrainConfig, world: World) -> nn.Module:
    """Apply FSDP2 to each block of a Vision Transformer; no-op for one process."""
    # Muon and the moving average need whole weights: `params.yaml` with them is not accepted.
    assert config.optimizer == "adamw"
    assert not config.ema_decay
    blocks = [module for module in model.modules() if isinstance(module, TransformerBlock)]
    assert blocks
    if world.size > 1:
        for block in blocks:
            fully_shard(block)
        fully_shard(model)
    return model


def whole_weights(model: nn.Module) -> dict[str, Any]:
    """The weights by name, put together on the main process. All processes have to call it."""
    return get_model_state_dict(model, options=WHOLE)


def whole_moments(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """The optimiser's state by the names of weights, put together on the main process."""
    return get_optimizer_state_dict(model, optimizer, options=WHOLE)


def restore(
    model: nn.Module, optimizer: Optimizer, weights: dict[str, Any], moments: dict[str, Any]
) -> None:
    """Share out whole weights and moments again, between as many processes as there are now."""
    set_state_dict(
        model, optimizer, model_state_dict=weights, optim_state_dict=moments, options=WHOLE
    )
