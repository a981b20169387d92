"""The Triton kernel and its plain twin give the same losses and gradients.

Runs on the GPU where there is one, and elsewhere in Triton's interpreter.
"""

import os

import pytest
import torch
import torch.nn.functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # Triton looks at it when it is first imported

from my_project.training.kernels import (  # noqa: E402, after the variable
    fused_cross_entropy,
)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 2), (7, 10), (33, 100), (2, 1000)])
def test_the_kernel_does_what_its_twin_does(shape: tuple[int, int], smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(shape, generator=generator)).to(DEVICE)
    labels = torch.randint(shape[1], shape[:1], generator=generator).to(DEVICE)
    weights = torch.rand(shape[0], generator=generator).to(DEVICE)
    ours, twins = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    losses = fused_cross_entropy(ours, labels, smoothing)
    expected = F.cross_entropy(twins, labels, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(losses, expected)
    (losses * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, twins.grad)


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], device=DEVICE, requires_grad=True)
    loss = fused_cross_entropy(logits, torch.tensor([0], device=DEVICE), 0.0)
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_an_empty_batch_has_no_losses() -> None:
    logits = torch.zeros(0, 10, device=DEVICE, requires_grad=True)
    losses = fused_cross_entropy(logits, torch.zeros(0, dtype=torch.int64, device=DEVICE), 0.1)
    losses.sum().backward()
    assert losses.shape == (0,)
