"""What training does with a batch: a step that changes the weights, or an evaluation."""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.loader import BatchLoader
from .distributed import SINGLE_PROCESS, Process, all_reduce_sum, no_sync
from .loss import cross_entropy, distillation_loss
from .state import TrainState


def train_step(state: TrainState, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    """Change the weights once: forward, loss, backward, optimizer, scheduler.

    Args:
        images: uint8 (N, C, H, W), this process's slice of a batch of `batch_size`.

    Returns:
        (2,): over the slice, the sum of the losses and the number of correct images.
    """
    config, process = state.config, state.process
    sums = torch.zeros(2, device=state.device)
    state.optimizer.zero_grad(set_to_none=True)
    # A last batch may have fewer images than micro-batches. Rank 0 has the largest slice, so with
    # as many as it has images none is empty in all processes, which would have no statistics.
    num_micro_batches = min(config.accumulation_steps, math.ceil(batch_size / process.world_size))
    micro_batches = zip(
        images.tensor_split(num_micro_batches), labels.tensor_split(num_micro_batches), strict=True
    )
    for number, (micro_images, micro_labels) in enumerate(micro_batches, start=1):
        # All-reduce only after the last micro-batch: until then, gradients add up locally.
        with nullcontext() if number == num_micro_batches else no_sync(state.wrapped_model):
            with torch.autocast(state.device.type, state.dtype, state.dtype != torch.float32):
                logits = state.wrapped_model(micro_images)
                if state.teacher is not None:
                    with torch.no_grad():
                        teacher_logits = state.teacher(micro_images)
            loss = cross_entropy(
                logits.float(), micro_labels, config.label_smoothing, fused=config.fused_loss
            )
            if state.teacher is not None:
                loss = loss + distillation_loss(logits.float(), teacher_logits.float())
            # The sum over the micro-batch becomes a part of the mean over the whole batch. DDP and
            # FSDP2 average gradients over processes, hence times world_size.
            state.scaler.scale(loss * (process.world_size / batch_size)).backward()
        num_correct = (logits.detach().argmax(dim=1) == micro_labels).sum()
        sums += torch.stack([loss.detach(), num_correct])
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.scheduler.step()
    if state.ema_model:
        state.ema_model.update_parameters(state.model)
    return sums


@torch.inference_mode()
def evaluate(
    model: nn.Module, loader: BatchLoader, process: Process = SINGLE_PROCESS
) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy, over all of a split."""
    model.eval()
    sums = torch.zeros(2, device=loader.device)  # (2,): of losses, and of correct images
    for images, labels in loader.in_order():
        logits = model(images)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([loss, (logits.argmax(dim=1) == labels).sum()])
    loss_sum, num_correct = all_reduce_sum(sums, process).tolist()
    return loss_sum / loader.num_images, num_correct / loader.num_images
