"""Optimizer, learning-rate schedule, and the moving average of the weights."""

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..config import TrainConfig
from .muon import Muon

MOMENTUM = 0.9
WARMUP_FRACTION = 0.06  # of the cosine schedule; OneCycleLR divides by zero at 0.05 of 20 steps


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), SGD with Nesterov momentum, or Muon.

    The learning rate is not set here: the scheduler sets it for every step, the first included.

    Weight decay applies to whatever has two dimensions or more, as matrices and filters do: biases
    and normalisation have no scale that it could usefully shrink.
    """
    groups = [
        {
            "params": [p for p in model.parameters() if p.ndim >= 2],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    match config.optimizer:
        case "adamw":
            return AdamW(groups, fused=True)
        case "sgd":
            return SGD(groups, momentum=MOMENTUM, nesterov=True, fused=True)
        case "muon":
            return Muon(groups)


def build_scheduler(optimizer: Optimizer, config: TrainConfig, num_steps: int) -> LRScheduler:
    """Learning rates of all steps: up to `config.learning_rate`, and down to almost 0.

    This is the one place where `train.learning_rate` enters training.

    one-cycle (Smith and Topin 2017, arXiv:1708.07120) rises for 30 % of the steps. It also moves
    momentum, and AdamW's first beta, from 0.95 down to 0.85 and back: while steps are long, a
    shorter memory. cosine (Loshchilov and Hutter 2016, arXiv:1608.03983) has a short warm-up alone.
    """
    if config.schedule == "one-cycle":
        return OneCycleLR(optimizer, max_lr=config.learning_rate, total_steps=num_steps)
    return OneCycleLR(
        optimizer,
        max_lr=config.learning_rate,
        total_steps=num_steps,
        pct_start=WARMUP_FRACTION,
        cycle_momentum=False,
    )


def build_ema_model(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights, which often does better than the last ones.

    Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv:1703.01780: a step keeps `decay` of
    the old average. Batch normalisation's running statistics are averaged too.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
