"""Test-time augmentation (TTA): which views there are, and that their mean is what it says."""

import numpy as np
import torch
from torch import nn

from package_name.evaluation.views import predict_views, views
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


def test_only_what_training_does_is_a_view() -> None:
    assert len(views(IMAGES, shifted=False, mirrored=False)) == 1
    assert len(views(IMAGES, shifted=True, mirrored=False)) == 3
    plain, mirrored = views(IMAGES, shifted=False, mirrored=True)
    assert np.array_equal(plain, IMAGES)
    assert np.array_equal(mirrored, IMAGES[..., ::-1])


def test_a_shift_moves_by_one_pixel_and_fills_with_black() -> None:
    _, up_left, down_right = views(IMAGES, shifted=True, mirrored=False)
    assert np.array_equal(up_left[:, :, :-1, :-1], IMAGES[:, :, 1:, 1:])
    assert not up_left[:, :, -1].any()
    assert np.array_equal(down_right[:, :, 1:, 1:], IMAGES[:, :, :-1, :-1])
    assert not down_right[..., 0].any()


def test_the_logits_are_the_mean_over_the_views() -> None:
    model = Linear()
    found = views(IMAGES, shifted=True, mirrored=True)
    expected = sum(predict_logits(model, view) for view in found) / 6
    np.testing.assert_allclose(predict_views(model, found), expected, rtol=1e-5)
