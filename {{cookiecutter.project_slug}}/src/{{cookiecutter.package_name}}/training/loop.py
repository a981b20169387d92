"""The training loop, to be read from top to bottom."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..config import TrainConfig
from ..data.dataset import Split
from ..data.loader import BatchLoader, epoch_seed
from ..errors import UserError
from .distributed import ALONE, World, agree, same_buffers, total
from .interruption import TrainingStoppedError, stop_on_sigterm
from .loss import cross_entropy
from .run import EpochResult, TrainingRun


@dataclass(frozen=True)
class TrainResult:
    """The curves, and the weights of the epoch with the best validation accuracy.

    seconds: of the whole run, wherever it was interrupted.
    """

    history: list[EpochResult]
    best: EpochResult
    best_weights: dict[str, Tensor]
    seconds: float


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
        UserError: the loss of an epoch is not finite.
    """
    loader = BatchLoader(
        train_split,
        batch_size=config.batch_size,
        device=device,
        location=config.data_location,
        seed=config.seed,
        crop_padding=config.crop_padding,
        horizontal_flip=config.horizontal_flip,
        rank_slice=world.share,
    )
    validation = BatchLoader(
        validation_split,
        batch_size=1024,
        device=device,
        location=config.data_location,
        rank_slice=world.share,
    )
    num_images, num_steps = len(train_split), len(loader)
    run = TrainingRun(
        model, config, num_steps=config.epochs * num_steps, device=device, world=world
    )
    run.resume(checkpoint, fingerprint)
    for result in run.history:
        on_epoch(result)

    epochs = tqdm(
        range(len(run.history) + 1, config.epochs + 1),
        desc="train",
        unit="epoch",
        disable=None if world.is_main else True,  # None: where the output is no terminal
    )
    with stop_on_sigterm() as stop:
        for epoch in epochs:
            run.begin_epoch(epoch_seed(config.seed, epoch, world.rank))
            start, num_timed = time.perf_counter(), 0
            for images, labels in loader.epoch(epoch, run.steps_done):
                batch_size = min(config.batch_size, num_images - run.steps_done * config.batch_size)
                run.sums += take_step(run, images, labels, batch_size)
                run.steps_done += 1
                num_timed += batch_size
                if agree(stop.is_set(), world) and run.steps_done < num_steps:
                    run.save(checkpoint, fingerprint, finished=False)
                    raise TrainingStoppedError
            # Only here are sums read from the device: reading waits for it.
            train_loss, train_accuracy = (total(run.sums, world) / num_images).tolist()
            seconds = time.perf_counter() - start

            same_buffers(run.measured, world)
            validation_loss, validation_accuracy = score(run.measured, validation, world)
            if not math.isfinite(train_loss + validation_loss):
                raise UserError(
                    f"train.learning_rate = {config.learning_rate}: the loss of epoch {epoch} is "
                    f"not finite ({train_loss} in training, {validation_loss} in validation); "
                    "take a lower one"
                )
            result = EpochResult(
                epoch=epoch,
                learning_rate=float(run.schedule.get_last_lr()[0]),
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                images_per_second=num_timed / seconds,
            )
            run.end_epoch(result)
            finished = epoch == config.epochs or epoch - run.best.epoch >= config.patience
            run.save(checkpoint, fingerprint, finished=finished)
            on_epoch(result)
            epochs.set_postfix(loss=f"{train_loss:.3f}", accuracy=f"{validation_accuracy:.4f}")
            if finished:
                break
            if agree(stop.is_set(), world):
                raise TrainingStoppedError
    return TrainResult(run.history, run.best, run.best_weights, run.seconds)


def take_step(run: TrainingRun, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    """Change the weights once: forward, loss, backward, optimiser, schedule.

    Args:
        images: uint8 (N, C, H, W), this process's share of a batch of `batch_size`.

    Returns:
        (2,): the sums over the share of the losses, and of the right answers.
    """
    config = run.config
    sums = torch.zeros(2, device=run.device)
    run.optimizer.zero_grad(set_to_none=True)
    parts = zip(
        images.tensor_split(config.accumulation_steps),
        labels.tensor_split(config.accumulation_steps),
        strict=True,
    )
    for number, (pixels, classes) in enumerate(parts, start=1):
        is_last = number == config.accumulation_steps
        with nullcontext() if is_last else run.exchange_held_back():
            with torch.autocast(run.device.type, run.dtype, enabled=run.dtype != torch.float32):
                logits = run.network(pixels)
            loss = cross_entropy(
                logits.float(), classes, config.label_smoothing, fused=config.fused_loss
            )
            # Gradients are averaged over processes; the mean over the whole batch is wanted.
            run.scaler.scale(loss * (run.world.size / batch_size)).backward()
        num_correct = (logits.detach().argmax(dim=1) == classes).sum()
        sums += torch.stack([loss.detach(), num_correct])
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.schedule.step()
    if run.average:
        run.average.update_parameters(run.model)
    return sums


@torch.inference_mode()
def score(model: nn.Module, loader: BatchLoader, world: World = ALONE) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy, over all of a split."""
    model.eval()
    sums = torch.zeros(2, device=loader.device)  # of losses, and of right answers
    for images, labels in loader.in_order():
        logits = model(images)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([loss, (logits.argmax(dim=1) == labels).sum()])
    loss_sum, num_correct = total(sums, world).tolist()
    return loss_sum / loader.num_images, num_correct / loader.num_images
