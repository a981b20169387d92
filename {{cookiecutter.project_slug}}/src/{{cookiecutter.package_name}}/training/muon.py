"""Muon: momentum whose every step is made orthogonal.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
https://kellerjordan.github.io/posts/muon/.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95
NEWTON_SCHULZ_STEPS = 5
# Of the polynomial a x + b x^3 + c x^5, which drives singular values from 0..1 towards 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Matrices and convolution filters get an orthogonal step; vectors get a normalised one.

    `torch.optim.Muon` takes matrices only: of a CNN, the last layer. All else would need a second
    optimizer with a second schedule. On matrices both take the same steps (with its
    `adjust_lr_fn="match_rms_adamw"`). It computes in bfloat16: on a CPU without that in hardware,
    a step for the CNN's filters, as matrices, took 180 ms with it, and 13 ms here.

    A filter (out, in, H, W) counts as a matrix (out, in * H * W). The step of a matrix has the
    length that AdamW's would have, so that its learning rates fit (Liu et al. 2025,
    arXiv:2502.16982). That of a vector has a root mean square of 1.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float = 1e-3) -> None:
        super().__init__(groups, {"lr": lr, "momentum": MOMENTUM, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                buffer = state["momentum_buffer"]
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                direction = _direction(weight.grad.lerp(buffer, group["momentum"]))  # Nesterov's
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(direction.view_as(weight), alpha=-group["lr"])


def _direction(update: Tensor) -> Tensor:
    if update.ndim < 2:
        return update / (update.square().mean().sqrt() + 1e-8)
    matrix = update.flatten(1)
    length: float = 0.2 * max(matrix.shape) ** 0.5  # so that a step is as long as AdamW's
    return orthogonalize(matrix) * length


def orthogonalize(matrix: Tensor) -> Tensor:
    """A matrix (M, N) with the same singular vectors and singular values near 1 (Newton, Schulz).

    Five steps bring all but the smallest between 0.7 and 1.2, which is near enough.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix.T if len(matrix) > matrix.shape[1] else matrix  # the smaller product
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        product = x @ x.T
        x = a * x + (b * product + c * product @ product) @ x
    return x.T if len(matrix) > matrix.shape[1] else x
