"""Normalisation of pixels, as a network's first layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Scale pixels from 0..255 to zero mean and unit variance by channel.

    As a layer, it is saved and exported with the network, so no user of the model file can
    normalise in another way. Takes (N, C, H, W) of any type, gives float32.

    mean, std: by channel, on the scale 0 to 1.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - self.mean) / self.std
