"""The training loop, to be read from top to bottom."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..config import TrainConfig
from ..data.dataset import Split
from ..data.loader import BatchLoader, epoch_seed
from .checkpoint import load_unfinished, save_run
from .device import get_random_state, set_random_state
from .distributed import ALONE, World, agree, from_all, from_main, parallel, total
from .interruption import TrainingStoppedError, stop_on_sigterm
from .optimizer import build_average, build_optimizer, build_schedule
from .precision import choose_dtype


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


@dataclass(frozen=True)
class TrainResult:
    """The curves, and the weights of the epoch with the best validation accuracy."""

    history: list[EpochResult]
    best: EpochResult
    best_weights: dict[str, Tensor]


def train(
    model: nn.Module,
    train_split: Split,
    validation_split: Split,
    config: TrainConfig,
    *,
    device: torch.device,
    checkpoint: Path,
    fingerprint: str,
    world: World = ALONE,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> TrainResult:
    """Train `model` in place, and stop early when validation accuracy no longer improves.

    After each epoch, and on SIGTERM after the running step, all of the run's state goes to the
    file `checkpoint`. If that file holds an interrupted run with the same `fingerprint`, training
    goes on from there, and ends with the same weights, to the bit, as if it had not been
    interrupted.

    Processes of one `world` share each batch, and together do what one would do alone. Only the
    main one touches the checkpoint.

    Args:
        model: takes pixels uint8 (N, C, H, W), gives logits (N, num_classes).
        on_epoch: called after each epoch, and on resuming for each epoch done before.

    Raises:
        TrainingStoppedError: SIGTERM came, and the state is saved.
    """
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loader = BatchLoader(
        train_split,
        batch_size=config.batch_size,
        device=device,
        seed=config.seed,
        crop_padding=config.crop_padding,
        horizontal_flip=config.horizontal_flip,
        share=world.share,
    )
    validation = BatchLoader(validation_split, batch_size=1024, device=device, share=world.share)
    parallel_model = parallel(model, world, sync_batch_norm=config.sync_batch_norm)
    dtype = choose_dtype(config.precision, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, num_steps=config.epochs * len(loader))
    average = build_average(model, config.ema_decay) if config.ema_decay else None
    measured = average.module if average else model
    stateful: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "schedule": schedule,
        "scaler": scaler,
    }
    if average:
        stateful["average"] = average
    num_images = len(train_split)
    history: list[EpochResult] = []
    best_weights: dict[str, Tensor] = {}
    first_step = 0  # of the epoch to begin with
    sums = torch.zeros(2, device=device)  # of losses, and of right answers

    def save(*, steps_done: int, finished: bool) -> None:
        state = {
            "fingerprint": fingerprint,
            "finished": finished,
            **{name: part.state_dict() for name, part in stateful.items()},
            "history": [asdict(row) for row in history],
            "best_weights": best_weights,
            "steps_done": steps_done,
            "sums": total(sums, world),
            "random_states": from_all(get_random_state(device), world),
        }
        if world.is_main:
            save_run(state, checkpoint)

    if state := from_main(world.is_main and load_unfinished(checkpoint, fingerprint), world):
        for name, part in stateful.items():
            part.load_state_dict(state[name])
        history = [EpochResult(**row) for row in state["history"]]
        best_weights = state["best_weights"]
        first_step = state["steps_done"]
        sums += state["sums"].to(device) * world.is_main
        random_states = state["random_states"]
        for result in history:
            on_epoch(result)

    progress = tqdm(
        range(len(history) + 1, config.epochs + 1),
        desc="train",
        unit="epoch",
        disable=None if world.is_main else True,  # None: where the output is no terminal
    )
    with stop_on_sigterm() as stop:
        for epoch in progress:
            torch.manual_seed(epoch_seed(config.seed, epoch, world.rank))  # for dropout
            if first_step and len(random_states) == world.size:
                set_random_state(device, random_states[world.rank])
            model.train()
            start, num_timed = time.perf_counter(), 0
            batches = enumerate(loader.epoch(epoch))
            for step, (images, labels) in islice(batches, first_step, None):
                batch_size = min(config.batch_size, num_images - step * config.batch_size)
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    logits = parallel_model(images)
                smoothing = config.label_smoothing
                loss = F.cross_entropy(
                    logits.float(), labels, label_smoothing=smoothing, reduction="sum"
                )
                optimizer.zero_grad(set_to_none=True)
                # Gradients are averaged over processes; the mean over the whole batch is wanted.
                scaler.scale(loss * world.size / batch_size).backward()
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                if average:
                    average.update_parameters(model)
                # Sums stay on the device: reading them here would wait for it in every step.
                num_correct = (logits.detach().argmax(dim=1) == labels).sum()
                sums += torch.stack([loss.detach(), num_correct])
                num_timed += batch_size
                if agree(stop.is_set(), device, world) and step + 1 < len(loader):
                    save(steps_done=step + 1, finished=False)
                    raise TrainingStoppedError
            train_loss, train_accuracy = (total(sums, world) / num_images).tolist()
            seconds = time.perf_counter() - start

            validation_loss, validation_accuracy = score(measured, validation, world)
            result = EpochResult(
                epoch=epoch,
                learning_rate=float(schedule.get_last_lr()[0]),
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                images_per_second=num_timed / seconds,
            )
            history.append(result)
            best = best_epoch(history)
            if best is result:
                best_weights = copy.deepcopy(measured.state_dict())
            finished = epoch == config.epochs or epoch - best.epoch >= config.patience
            first_step = 0
            sums.zero_()
            save(steps_done=0, finished=finished)
            on_epoch(result)
            progress.set_postfix(loss=f"{train_loss:.3f}", accuracy=f"{validation_accuracy:.4f}")
            if finished:
                break
            if agree(stop.is_set(), device, world):
                raise TrainingStoppedError
    return TrainResult(history, best_epoch(history), best_weights)


def best_epoch(history: list[EpochResult]) -> EpochResult:
    """The epoch with the best validation accuracy; of equals, the one with the lower loss."""
    return max(history, key=lambda row: (row.validation_accuracy, -row.validation_loss))


@torch.inference_mode()
def score(model: nn.Module, loader: BatchLoader, world: World = ALONE) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy, over all of a split."""
    model.eval()
    sums = torch.zeros(3, device=loader.labels.device)  # of losses, of right answers, of pictures
    for images, labels in loader.in_order():
        logits = model(images)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        num_correct = (logits.argmax(dim=1) == labels).sum()
        sums += torch.stack([loss, num_correct, num_correct.new_tensor(len(labels))])
    loss_sum, num_correct_sum, num_images = total(sums, world).tolist()
    return loss_sum / num_images, num_correct_sum / num_images
