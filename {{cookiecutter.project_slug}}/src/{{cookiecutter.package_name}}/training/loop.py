"""The training loop, to be read from top to bottom."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..config import TrainConfig
from ..data.dataset import Split
from ..data.loader import BatchLoader, epoch_seed
from .checkpoint import load_unfinished, save_run
from .device import get_random_state, set_random_state
from .interruption import TrainingStoppedError, stop_on_sigterm
from .optimizer import build_optimizer, build_schedule


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
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> TrainResult:
    """Train `model` in place, and stop early when validation accuracy no longer improves.

    After each epoch, and on SIGTERM after the running step, all of the run's state goes to the
    file `checkpoint`. If that file holds an interrupted run with the same `fingerprint`, training
    goes on from there, and ends with the same weights, to the bit, as if it had not been
    interrupted.

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
    )
    validation = BatchLoader(validation_split, batch_size=1024, device=device)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, num_steps=config.epochs * len(loader))
    history: list[EpochResult] = []
    best_weights: dict[str, Tensor] = {}
    first_step = 0  # of the epoch to begin with
    total_loss = torch.zeros((), device=device)
    num_correct = torch.zeros((), device=device)

    def save(*, steps_done: int, finished: bool) -> None:
        state = {
            "fingerprint": fingerprint,
            "finished": finished,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": [asdict(row) for row in history],
            "best_weights": best_weights,
            "steps_done": steps_done,
            "total_loss": total_loss,
            "num_correct": num_correct,
            "random_state": get_random_state(device),
        }
        save_run(state, checkpoint)

    if state := load_unfinished(checkpoint, fingerprint):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = [EpochResult(**row) for row in state["history"]]
        best_weights = state["best_weights"]
        first_step = state["steps_done"]
        total_loss.copy_(state["total_loss"])
        num_correct.copy_(state["num_correct"])
        random_state = state["random_state"]
        for result in history:
            on_epoch(result)

    progress = tqdm(
        range(len(history) + 1, config.epochs + 1), desc="train", unit="epoch", disable=None
    )
    with stop_on_sigterm() as stop:
        for epoch in progress:
            torch.manual_seed(epoch_seed(config.seed, epoch))  # for dropout
            if first_step:
                set_random_state(device, random_state)
            model.train()
            start, num_timed = time.perf_counter(), 0
            batches = enumerate(loader.epoch(epoch))
            for step, (images, labels) in islice(batches, first_step, None):
                logits = model(images)
                loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                # Sums stay on the device: reading them here would wait for it in every step.
                total_loss += loss.detach() * len(labels)
                num_correct += (logits.detach().argmax(dim=1) == labels).sum()
                num_timed += len(labels)
                if stop.is_set() and step + 1 < len(loader):
                    save(steps_done=step + 1, finished=False)
                    raise TrainingStoppedError
            num_images = len(train_split)
            train_loss = total_loss.item() / num_images
            train_accuracy = num_correct.item() / num_images
            seconds = time.perf_counter() - start

            validation_loss, validation_accuracy = score(model, validation)
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
                best_weights = copy.deepcopy(model.state_dict())
            finished = epoch == config.epochs or epoch - best.epoch >= config.patience
            first_step = 0
            total_loss.zero_()
            num_correct.zero_()
            save(steps_done=0, finished=finished)
            on_epoch(result)
            progress.set_postfix(loss=f"{train_loss:.3f}", accuracy=f"{validation_accuracy:.4f}")
            if finished:
                break
            if stop.is_set():
                raise TrainingStoppedError
    return TrainResult(history, best_epoch(history), best_weights)


def best_epoch(history: list[EpochResult]) -> EpochResult:
    """The epoch with the best validation accuracy; of equals, the one with the lower loss."""
    return max(history, key=lambda row: (row.validation_accuracy, -row.validation_loss))


@torch.inference_mode()
def score(model: nn.Module, loader: BatchLoader) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy, over all of a split."""
    model.eval()
    total_loss, num_correct, num_images = 0.0, 0, 0
    for images, labels in loader.in_order():
        logits = model(images)
        total_loss += F.cross_entropy(logits, labels, reduction="sum").item()
        num_correct += int((logits.argmax(dim=1) == labels).sum())
        num_images += len(labels)
    return total_loss / num_images, num_correct / num_images
