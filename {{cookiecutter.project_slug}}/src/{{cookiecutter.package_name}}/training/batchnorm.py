"""Batch normalisation over a batch that several processes share, on CPUs.

Ioffe and Szegedy 2015, arXiv:1502.03167. `torch.nn.SyncBatchNorm` is used on GPUs; in a process
group it raises a ValueError for tensors on a CPU, up to PyTorch 2.13.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Normalises `x` (N, C, H, W) by mean and variance over the slices of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        normalized, mean, variance, count = _Normalize.apply(x.float(), self.eps)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            # Running statistics are of the population: n - 1 instead of n, as in PyTorch's own.
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), self.momentum)
            self.num_batches_tracked += 1
        return torch.addcmul(_by_channel(self.bias), normalized, _by_channel(self.weight))


class _Normalize(torch.autograd.Function):
    """(x - mean) / standard deviation by channel, and its gradient, over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, variance, count = _all_gather_statistics(x)
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
        mean, projection = (_by_channel(row) for row in sums / count)
        # Ioffe and Szegedy, section 3, with the sums over the whole batch.
        centred = gradient - mean - normalized * projection
        return centred * _by_channel(inverse_deviation), None


def _all_gather_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), variance (C,) and number of values by channel (1,), over all processes.

    The variance comes from each process's own and from how far its mean is from that of all (Chan
    et al. 1983, doi:10.1080/00031305.1983.10483115). E[x^2] - E[x]^2 would lose all digits where
    the mean is large beside the deviation.
    """
    num_channels = x.shape[1]
    local = x.new_zeros(2 * num_channels + 1)
    if len(x):  # of the last batch, a process may have no image: count 0, and so no weight
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        local = torch.cat([mean, variance, x.new_tensor([x.numel() / num_channels])])
    gathered = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, local)
    means, variances, counts = torch.stack(gathered).split([num_channels, num_channels, 1], dim=1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    return mean, variance, count


def sync_batch_norm_on_cpu(model: nn.Module) -> None:
    """Let batch normalisation in `model` see the whole batch; parameters and names stay."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = SyncBatchNorm2d  # in place: others refer to it


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
