"""The training loop, to be read from top to bottom."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from ..config import TrainConfig
from ..data.dataset import Split
from ..data.loader import BatchLoader, epoch_seed
from ..errors import UserError
from ..models.pretrained import start_from_imagenet
from .device import choose_dtype
from .distributed import (
    SINGLE_PROCESS,
    Process,
    all_reduce_any,
    all_reduce_sum,
    broadcast_buffers,
    wrap_ddp,
    wrap_fsdp,
)
from .interruption import TrainingStoppedError, stop_on_sigterm
from .memory import keep_freed_memory
from .optimizer import build_ema_model, build_optimizer, build_scheduler
from .state import EpochResult, TrainState
from .step import evaluate, train_step


def train_loader(
    split: Split, config: TrainConfig, device: torch.device, process: Process = SINGLE_PROCESS
) -> BatchLoader:
    """Yield shuffled and augmented batches: of each batch, the slice of this process."""
    return BatchLoader(
        split,
        batch_size=config.batch_size,
        device=device,
        location=config.data_location,
        seed=config.seed,
        crop_padding=config.crop_padding,
        horizontal_flip=config.horizontal_flip,
        rank_slice=process.rank_slice,
    )


def set_up(
    model: nn.Module,
    config: TrainConfig,
    *,
    num_steps: int,
    device: torch.device,
    process: Process = SINGLE_PROCESS,
) -> TrainState:
    """Make all that training needs before its first step; the order matters."""
    if device.type == "cpu":
        keep_freed_memory()
    # Channels last: a convolution sums over the channels of a pixel, which then lie side by side.
    # PyTorch's annotations of `Module.to` leave memory_format out.
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # The moving average is a copy of the model, so it is made while the model is a plain one.
    ema_model = build_ema_model(model, config.ema_decay) if config.ema_decay else None
    if config.compile:
        model.compile()  # in place, so weights keep their names; the first step compiles
    if config.shard_weights:
        wrapped_model = wrap_fsdp(model, process)
    else:
        wrapped_model = wrap_ddp(model, process, sync_batch_norm=config.sync_batch_norm)
    # After wrapping: FSDP2 replaces the model's parameters by shards.
    optimizer = build_optimizer(model, config)
    # It reads the learning rate, and sets the optimizer's for every step.
    scheduler = build_scheduler(optimizer, config, num_steps)
    # Small gradients are 0 in float16, unless the loss is scaled up before the backward pass.
    # bfloat16 has float32's range and needs no scaler.
    dtype = choose_dtype(config.precision, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    return TrainState(
        config=config,
        process=process,
        device=device,
        dtype=dtype,
        model=model,
        wrapped_model=wrapped_model,
        ema_model=ema_model,
        optimizer=optimizer,
        scheduler=scheduler,
        scaler=scaler,
    )


def train(
    model: nn.Module,
    train_split: Split,
    validation_split: Split,
    config: TrainConfig,
    *,
    device: torch.device,
    checkpoint: Path,
    fingerprint: str,
    process: Process = SINGLE_PROCESS,
    teacher: nn.Module | None = None,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> TrainState:
    """Train `model` in place, and stop early when validation accuracy no longer improves.

    After each epoch, and on SIGTERM after the running step, the state goes to `checkpoint`. If that
    file holds an interrupted run with the same `fingerprint` (provenance.py: code, data, settings),
    training goes on from there, and ends with the weights of an uninterrupted run, to the bit.

    A process group splits each batch and takes the steps that one process would. Rank 0 writes.

    Args:
        model: takes pixels uint8 (N, C, H, W), gives logits (N, num_classes).
        teacher: a network on `device`, in eval mode, whose logits are learnt besides the labels.
        on_epoch: called after each epoch, and on resuming for each epoch done before.

    Returns:
        The final state, with `history`, `best` and, on rank 0, `best_weights`.

    Raises:
        TrainingStoppedError: SIGTERM came, and the state is saved.
        UserError: the loss of an epoch is not finite.
    """
    loader = train_loader(train_split, config, device, process)
    validation = BatchLoader(
        validation_split,
        batch_size=256,
        device=device,
        location=config.data_location,
        rank_slice=process.rank_slice,
    )
    num_images, num_steps = len(train_split), len(loader)
    start_from_imagenet(model, train_split, device)  # no-op for networks that start at random
    state = set_up(
        model, config, num_steps=config.epochs * num_steps, device=device, process=process
    )
    if teacher is not None:
        # As in `set_up`: the order of memory that its images have, and annotations that lack it.
        state.teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state.resume(checkpoint, fingerprint)
    for result in state.history:
        on_epoch(result)

    epochs = tqdm(
        range(len(state.history) + 1, config.epochs + 1),
        desc="train",
        unit="epoch",
        disable=None if process.is_main else True,  # None: where the output is no terminal
    )
    with stop_on_sigterm() as stop:
        for epoch in epochs:
            state.model.train()
            start, num_timed = time.perf_counter(), 0
            for images, labels in loader.epoch(epoch, first_step=state.steps_done):
                step = state.steps_done
                batch_size = min(config.batch_size, num_images - step * config.batch_size)
                # Dropout's masks follow from epoch, rank and step alone, so a run that is resumed
                # at any step draws those that it would have drawn.
                torch.manual_seed(epoch_seed(config.seed, epoch, process.rank, step))
                state.sums += train_step(state, images, labels, batch_size)
                state.steps_done += 1
                num_timed += batch_size
                if all_reduce_any(stop.is_set(), process) and state.steps_done < num_steps:
                    state.save(checkpoint, fingerprint, finished=False)
                    raise TrainingStoppedError
            # Sums are read only here, once an epoch: reading waits for the device.
            train_loss, train_accuracy = (all_reduce_sum(state.sums, process) / num_images).tolist()
            seconds = time.perf_counter() - start

            broadcast_buffers(state.eval_model, process)
            validation_loss, validation_accuracy = evaluate(state.eval_model, validation, process)
            if not math.isfinite(train_loss + validation_loss):
                raise UserError(
                    f"train.learning_rate = {config.learning_rate}: the loss of epoch {epoch} is "
                    f"not finite ({train_loss}, {validation_loss} in validation); take a lower one"
                )
            result = EpochResult(
                epoch=epoch,
                learning_rate=float(state.scheduler.get_last_lr()[0]),
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
                images_per_second=num_timed / seconds,
            )
            state.end_epoch(result)
            finished = epoch == config.epochs or epoch - state.best.epoch >= config.patience
            state.save(checkpoint, fingerprint, finished=finished)
            on_epoch(result)
            epochs.set_postfix(loss=f"{train_loss:.3f}", accuracy=f"{validation_accuracy:.4f}")
            if finished:
                break
            if all_reduce_any(stop.is_set(), process):
                raise TrainingStoppedError
    # DDP goes while all processes are here: freed later, it waits for those that have left.
    state.wrapped_model = state.model
    return state
