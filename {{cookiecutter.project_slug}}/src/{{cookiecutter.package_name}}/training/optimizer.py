"""Optimiser and learning-rate schedule."""

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..config import TrainConfig
from .muon import Muon

MOMENTUM = 0.9  # the one-cycle schedule also moves it, and AdamW's first beta, from 0.95 to 0.85
WARMUP_FRACTION = 0.05


def build_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights, which often does better than the last ones.

    Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv:1703.01780, take `decay` of the old
    average in each step. Batch normalisation's statistics are averaged too.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), SGD with Nesterov momentum, or Muon.

    Weight decay applies to whatever has two dimensions or more, as matrices and filters do: biases
    and normalisation have no scale that it could usefully shrink.
    """
    weights = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimizer == "muon":
        return Muon(groups, lr=config.learning_rate)
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.learning_rate, momentum=MOMENTUM, nesterov=True, fused=True)
    return AdamW(groups, lr=config.learning_rate, fused=True)


def build_schedule(optimizer: Optimizer, config: TrainConfig, num_steps: int) -> LRScheduler:
    """One-cycle (Smith and Topin 2017, arXiv:1708.07120), or a short warm-up and a cosine."""
    if config.schedule == "one-cycle":
        return OneCycleLR(optimizer, max_lr=config.learning_rate, total_steps=num_steps)
    num_warmup = max(1, round(WARMUP_FRACTION * num_steps))
    warmup = LinearLR(optimizer, start_factor=0.01, total_iters=num_warmup)
    cosine = CosineAnnealingLR(optimizer, T_max=max(1, num_steps - num_warmup))
    return SequentialLR(optimizer, [warmup, cosine], milestones=[num_warmup])
