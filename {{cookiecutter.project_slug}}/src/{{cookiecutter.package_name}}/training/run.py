"""A training run at one moment: all that a step changes, and so all that a checkpoint holds."""

import copy
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..config import TrainConfig
from .checkpoint import load_unfinished, save_run
from .device import get_random_state, set_random_state
from .distributed import World, from_all, from_main, parallel, total
from .memory import keep_freed_memory
from .optimizer import build_average, build_optimizer, build_schedule
from .precision import choose_dtype
from .sharding import restore, shard, whole_moments, whole_weights


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


class TrainingRun:
    """What changes in training, together.

    model: the weights that steps change. network: the same, as one of several processes calls it.
    average: its moving average, if there is one. steps_done: of the running epoch. sums: (2,), of
    its losses and of its right answers, in this process.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        *,
        num_steps: int,
        device: torch.device,
        world: World,
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.config, self.device, self.world = config, device, world
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = build_average(model, config.ema_decay) if config.ema_decay else None
        if config.compile:
            model.compile()
        if config.shard_weights:
            self.network = shard(model, config, world)
        else:
            self.network = parallel(model, world, sync_batch_norm=config.sync_batch_norm)
        self.dtype = choose_dtype(config.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.optimizer = build_optimizer(model, config)
        self.schedule = build_schedule(self.optimizer, config, num_steps)
        self.history: list[EpochResult] = []
        self.best_weights: dict[str, Tensor] = {}
        self.steps_done = 0
        self.sums = torch.zeros(2, device=device)
        self._random_states: list[Tensor] = []
        self._seconds_before = 0.0
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long the run has taken, up to now and before it was interrupted."""
        return self._seconds_before + time.perf_counter() - self._start

    @property
    def measured(self) -> nn.Module:
        """What validation looks at and the service gets: the model, or its moving average."""
        module: nn.Module = self.average.module if self.average else self.model
        return module

    @property
    def best(self) -> EpochResult:
        """The epoch with the best validation accuracy; of equals, the one with the lower loss."""
        return max(self.history, key=lambda row: (row.validation_accuracy, -row.validation_loss))

    def begin_epoch(self, seed: int) -> None:
        """Set the random numbers of dropout to the epoch's, or to where the run was stopped."""
        torch.manual_seed(seed)
        if self.steps_done and len(self._random_states) == self.world.size:
            set_random_state(self.device, self._random_states[self.world.rank])
        self.model.train()

    def end_epoch(self, result: EpochResult) -> None:
        """Keep the epoch's result, and its weights if it is the best so far."""
        self.history.append(result)
        if self.best is result:
            self.best_weights = copy.deepcopy(self._weights(self.measured))
        self.steps_done = 0
        self.sums.zero_()

    def exchange_held_back(self) -> AbstractContextManager[None]:
        """Where a batch has several parts, gradients go round once, after the last of them."""
        if isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return nullcontext()

    def save(self, path: Path, fingerprint: str, *, finished: bool) -> None:
        """Write a checkpoint; all processes take part, and the main one writes."""
        sharded = self.config.shard_weights
        state = {
            "fingerprint": fingerprint,
            "finished": finished,
            "model": self._weights(self.model),
            "optimizer": whole_moments(self.model, self.optimizer)
            if sharded
            else self.optimizer.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
            "history": [asdict(row) for row in self.history],
            "best_weights": self.best_weights,
            "steps_done": self.steps_done,
            "sums": total(self.sums, self.world),
            "seconds": self.seconds,
            "random_states": from_all(get_random_state(self.device), self.world),
        }
        if self.world.is_main:
            save_run(state, path)

    def resume(self, path: Path, fingerprint: str) -> None:
        """Go on from the checkpoint, if it holds an interrupted run with this fingerprint."""
        world = self.world
        state = from_main(load_unfinished(path, fingerprint) if world.is_main else None, world)
        if state is None:
            return
        if self.config.shard_weights:
            restore(self.model, self.optimizer, state["model"], state["optimizer"])
        else:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.history = [EpochResult(**row) for row in state["history"]]
        self.best_weights = state["best_weights"]
        self.steps_done = state["steps_done"]
        self.sums += state["sums"].to(self.device) * world.is_main
        self._random_states = state["random_states"]
        self._seconds_before = state["seconds"]

    def _weights(self, model: nn.Module) -> dict[str, Any]:
        return whole_weights(model) if self.config.shard_weights else model.state_dict()

    def _parts(self) -> dict[str, Any]:
        parts = {"schedule": self.schedule, "scaler": self.scaler}
        return parts | ({"average": self.average} if self.average else {})
