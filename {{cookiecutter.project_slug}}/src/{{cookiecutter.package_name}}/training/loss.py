"""The loss that training minimises."""

import torch.nn.functional as F
from torch import Tensor


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
