"""The training state: all that a step changes, and so all that a checkpoint holds."""

import copy
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from ..config import TrainConfig
from .checkpoint import load_unfinished, save_checkpoint
from .distributed import Process, all_reduce_sum, broadcast_object

# Full tensors by the names of weights, gathered on rank 0 if they are sharded, so that another
# number of processes can resume. Importing these functions takes 0.07 s: building any optimizer
# imports PyTorch's compiler, and with it almost all that they need.
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True)
class EpochResult:
    """One row of the learning curves. Losses in nats, without label smoothing for validation."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float


@dataclass(kw_only=True)
class TrainState:
    """What a training run is made of, and how far it is; `set_up` in `loop.py` makes it.

    config, process, device, dtype: as they were at the start; dtype is that of mixed precision.
    model: the weights that steps change. wrapped_model: the same, as a forward pass calls it:
    wrapped by DDP or FSDP2, or the model itself. ema_model: its moving average, if there is one.
    """

    config: TrainConfig
    process: Process
    device: torch.device
    dtype: torch.dtype
    model: nn.Module
    wrapped_model: nn.Module
    ema_model: AveragedModel | None
    optimizer: Optimizer
    scheduler: LRScheduler
    scaler: GradScaler
    teacher: nn.Module | None = None
    """Whose logits are learnt besides the labels, in distillation."""

    history: list[EpochResult] = field(default_factory=list)
    """One row for each finished epoch."""
    best_weights: dict[str, Any] = field(default_factory=dict)
    """Of the best epoch, on rank 0."""
    steps_done: int = 0
    """In the running epoch."""
    sums: Tensor = field(init=False)
    """(2,): of the running epoch, the sum of losses and the number of correct images, in this
    process."""
    start: float = field(default_factory=time.perf_counter)
    """When training began; as much earlier as it had taken before it was interrupted."""

    def __post_init__(self) -> None:
        self.sums = torch.zeros(2, device=self.device)

    @property
    def seconds(self) -> float:
        """How long training has taken, up to now and before it was interrupted."""
        return time.perf_counter() - self.start

    @property
    def eval_model(self) -> nn.Module:
        """What is validated, kept and exported: the moving average if there is one."""
        module: nn.Module = self.ema_model.module if self.ema_model else self.model
        return module

    @property
    def best(self) -> EpochResult:
        """The epoch with the best validation accuracy; of equals, the one with the lower loss."""
        return max(self.history, key=lambda row: (row.validation_accuracy, -row.validation_loss))

    def end_epoch(self, result: EpochResult) -> None:
        """Keep the epoch's result, and its weights if it is the best so far."""
        self.history.append(result)
        if self.best is result:
            # A copy: a state dict shares its memory with the weights, which go on changing.
            weights = get_model_state_dict(self.eval_model, options=FULL)
            self.best_weights = copy.deepcopy(weights)
        self.steps_done = 0
        self.sums.zero_()

    def save(self, path: Path, fingerprint: str, *, finished: bool) -> None:
        """Write a checkpoint; all processes take part, and rank 0 writes."""
        full_state_dict, full_optim_state_dict = get_state_dict(
            self.model, self.optimizer, options=FULL
        )
        state = {
            "fingerprint": fingerprint,
            "finished": finished,
            "model": full_state_dict,
            "optimizer": full_optim_state_dict,
            **{name: part.state_dict() for name, part in self._parts().items()},
            "history": [asdict(row) for row in self.history],
            "best_weights": self.best_weights,
            "steps_done": self.steps_done,
            "sums": all_reduce_sum(self.sums, self.process),
            "seconds": self.seconds,
        }
        if self.process.is_main:
            save_checkpoint(state, path)

    def resume(self, path: Path, fingerprint: str) -> None:
        """Go on from the checkpoint, if it holds an interrupted run with this fingerprint."""
        # Rank 0 reads it for all: the others may be on machines that do not have the file.
        found = load_unfinished(path, fingerprint) if self.process.is_main else None
        state = broadcast_object(found, self.process)
        if state is None:
            return
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=FULL,
        )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.history = [EpochResult(**row) for row in state["history"]]
        self.best_weights = state["best_weights"]
        self.steps_done = state["steps_done"]
        # The saved sums are those of all processes, so one of them goes on with the whole.
        if self.process.is_main:
            self.sums += state["sums"].to(self.device)
        self.start -= state["seconds"]

    def _parts(self) -> dict[str, Any]:
        """What has a state dict of its own that is the same in all processes."""
        parts = {"scheduler": self.scheduler, "scaler": self.scaler}
        return parts | ({"ema_model": self.ema_model} if self.ema_model else {})
