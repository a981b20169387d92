"""Batch normalisation over a batch that several processes share.

Ioffe and Szegedy 2015, arXiv:1502.03167. `torch.nn.SyncBatchNorm` does the same on GPUs only.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Normalises by mean and variance of the whole batch, of which `x` (N, C, H, W) is a share."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        normalized, mean, variance, count = _Normalize.apply(x.float(), self.eps)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            unbiased = variance * (count / (count - 1).clamp(min=1))
            weight = self.momentum * (count > 0)  # a part of a batch may be empty in all processes
            self.running_mean.lerp_(mean, weight)
            self.running_var.lerp_(unbiased, weight)
            self.num_batches_tracked += 1
        return torch.addcmul(_by_channel(self.bias), normalized, _by_channel(self.weight))


class _Normalize(torch.autograd.Function):
    """(x - mean) / standard deviation by channel and its gradient, summed over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        num_channels = x.shape[1]
        share = x.new_tensor([x.numel() / num_channels])
        sums = torch.cat([x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), share])
        dist.all_reduce(sums)
        count = sums[-1:]
        mean, mean_square = (sums[:-1] / count.clamp(min=1)).view(2, num_channels)
        variance = (mean_square - mean.square()).clamp(min=0)
        normalized = F.batch_norm(x, mean, variance, training=False, eps=eps)
        ctx.save_for_backward(normalized, (variance + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean, variance, count)
        return normalized, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        gradient: Tensor = gradients[0]
        normalized, inverse_deviation, count = ctx.saved_tensors
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normalized).sum((0, 2, 3))])
        dist.all_reduce(sums)
        mean, projection = (_by_channel(row) for row in sums / count.clamp(min=1))
        # Ioffe and Szegedy, section 3, with the sums of the whole batch.
        centred = gradient - mean - normalized * projection
        return centred * _by_channel(inverse_deviation), None


def synchronise_batch_norm(model: nn.Module) -> None:
    """Let all batch normalisation of `model` see the whole batch; parameters and names stay."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = SharedBatchNorm2d


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
