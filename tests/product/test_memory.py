"""Evaluating a large test split takes little more memory than the split itself."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from my_project.data.dataset import Split
from my_project.evaluation.baseline import predict_baseline
from my_project.evaluation.tta import predict_tta

NUM_IMAGES = 20_000


@pytest.fixture(scope="module")
def split() -> Split:
    """15 MB of noise, in two classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (NUM_IMAGES, 3, 16, 16), dtype=np.uint8)
    return Split(images, np.arange(NUM_IMAGES) % 2)


class Brightness(nn.Module):
    """Logits (N, 2) by the mean of the pixels (N, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -1.0]))

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1).float().mean(dim=1, keepdim=True) * self.weight


def peak_memory(work: Callable[[], object]) -> int:
    """Return the most bytes that Python and NumPy hold at a time because of `work`."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_baseline_converts_the_test_split_to_floats_in_batches(split: Split) -> None:
    train = Split(split.images[:100], split.labels[:100])
    peak = peak_memory(lambda: predict_baseline(train, split, seed=0))
    assert peak < 2 * split.images.nbytes  # as float32, it takes 4 times its size


def test_test_time_augmentation_copies_one_batch_at_a_time(split: Split) -> None:
    model = Brightness()
    peak = peak_memory(lambda: predict_tta(model, split.images, shifted=True, mirrored=True))
    assert peak < split.images.nbytes / 2
