"""Pixels to what a network likes to see, as its first layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Scale pixels from 0..255 to zero mean and unit variance by channel.

    Being a layer, it is trained, saved and exported with the network: whoever holds the model
    file cannot normalise in another way. Takes (N, C, H, W) of any type, gives float32.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - self.mean) / self.std
