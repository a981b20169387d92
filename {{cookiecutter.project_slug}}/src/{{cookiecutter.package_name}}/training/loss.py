"""The loss that training minimises."""

import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 4.0  # of distillation


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, *, fused: bool) -> Tensor:
    """Label-smoothed cross-entropy (Szegedy et al. 2015, arXiv:1512.00567), summed over the batch.

    Args:
        logits: float32 (N, num_classes).
        labels: int64 (N,).
        smoothing: the part of each label that is spread evenly over all classes.
        fused: use the Triton kernel in `kernels.py`, which needs a CUDA device.
    """
    if not fused:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    from .kernels import fused_cross_entropy  # needs Triton, which comes with PyTorch for CUDA

    return fused_cross_entropy(logits, labels, smoothing).sum()


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Divergence from a teacher's softened probabilities, summed over the batch.

    Hinton et al. 2015, arXiv:1503.02531; the squared temperature keeps the gradients' scale.
    """
    log_probabilities = F.log_softmax(logits / TEMPERATURE, dim=1)
    target = F.log_softmax(teacher_logits / TEMPERATURE, dim=1)
    divergence = F.kl_div(log_probabilities, target, reduction="sum", log_target=True)
    return TEMPERATURE**2 * divergence
