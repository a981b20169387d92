"""The loss and its gradient as fused kernels in Triton.

Tillet et al. 2019, doi:10.1145/3315508.3329973.

PyTorch's label-smoothed cross-entropy reads and writes the logits in several passes: maximum,
exponentials, their sum, the mean, the picked label; and again for the gradient. Here each pass over
the memory does all of it: one program holds a row of logits in registers.

With t = (1 - s) * onehot(label) + s / K for K classes and smoothing s, the loss of a row is
logsumexp(x) - sum(t * x), and its gradient softmax(x) - t. Its twin without a kernel is
`torch.nn.functional.cross_entropy`. `TRITON_INTERPRET=1` runs it on a CPU.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _forward(logits, labels, losses, normalizers, num_classes, smoothing, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < num_classes
    x = tl.load(logits + row * num_classes + columns, mask=inside, other=-float("inf"))
    label = tl.load(labels + row)
    highest = tl.max(x, axis=0)
    normalizer = highest + tl.log(tl.sum(tl.exp(x - highest), axis=0))  # logsumexp, safely
    of_label = tl.sum(tl.where(columns == label, x, 0.0), axis=0)
    mean = tl.sum(tl.where(inside, x, 0.0), axis=0) / num_classes
    tl.store(losses + row, normalizer - (1 - smoothing) * of_label - smoothing * mean)
    tl.store(normalizers + row, normalizer)


@triton.jit
def _backward(
    logits, labels, normalizers, gradients, result, num_classes, smoothing, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < num_classes
    x = tl.load(logits + row * num_classes + columns, mask=inside, other=-float("inf"))
    label = tl.load(labels + row)
    target = tl.where(columns == label, 1 - smoothing, 0.0) + smoothing / num_classes
    probabilities = tl.exp(x - tl.load(normalizers + row))
    gradient = (probabilities - target) * tl.load(gradients + row)
    tl.store(result + row * num_classes + columns, gradient, mask=inside)


class _FusedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        logits = logits.contiguous()
        num_rows, num_classes = logits.shape
        losses: Tensor
        losses, normalizers = logits.new_empty(2, num_rows)
        ctx.settings = (num_classes, smoothing, triton.next_power_of_2(num_classes))
        if num_rows:
            _forward[(num_rows,)](logits, labels, losses, normalizers, *ctx.settings)
        ctx.save_for_backward(logits, labels, normalizers)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        logits, labels, normalizers = ctx.saved_tensors
        result = torch.empty_like(logits)
        if len(logits):
            inputs = (logits, labels, normalizers, gradients[0].contiguous())
            _backward[(len(logits),)](*inputs, result, *ctx.settings)
        return result, None, None


def fused_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Label-smoothed cross-entropy of each row, (N,), in one pass over memory; so its gradient.

    Args:
        logits: float32 (N, num_classes), up to some thousands of classes.
        labels: int64 (N,).
    """
    losses: Tensor = _FusedCrossEntropy.apply(logits, labels, smoothing)  # type: ignore[no-untyped-call]
    return losses
