"""Test-time augmentation: which copies of an image there are, and that logits are averaged."""

import numpy as np
import pytest
import torch
from torch import nn

from package_name.evaluation import tta
from package_name.evaluation.tta import augment, predict_tta
from package_name.models.predict import predict_logits

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)


class Linear(nn.Module):
    """Logits (N, 3) that depend on where a pixel is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(16, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(pixels.flatten(1).float() / 255)
        return logits


def test_images_are_changed_only_as_training_changes_them() -> None:
    assert len(augment(IMAGES, shifted=False, mirrored=False)) == 1
    assert len(augment(IMAGES, shifted=True, mirrored=False)) == 3
    plain, mirrored = augment(IMAGES, shifted=False, mirrored=True)
    assert np.array_equal(plain, IMAGES)
    assert np.array_equal(mirrored, IMAGES[..., ::-1])


def test_a_shift_moves_by_one_pixel_and_fills_with_black() -> None:
    _, up_left, down_right = augment(IMAGES, shifted=True, mirrored=False)
    assert np.array_equal(up_left[:, :, :-1, :-1], IMAGES[:, :, 1:, 1:])
    assert not up_left[:, :, -1].any()
    assert np.array_equal(down_right[:, :, 1:, 1:], IMAGES[:, :, :-1, :-1])
    assert not down_right[..., 0].any()


def test_the_logits_are_the_mean_over_the_copies_whatever_the_batch_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Linear()
    copies = augment(IMAGES, shifted=True, mirrored=True)
    expected = sum(predict_logits(model, copy) for copy in copies) / 6
    for batch_size in (2, 512):
        monkeypatch.setattr(tta, "BATCH_SIZE", batch_size)
        logits = predict_tta(model, IMAGES, shifted=True, mirrored=True)
        np.testing.assert_allclose(logits, expected, rtol=1e-5)
