"""Random changes to whole batches of training pictures, on the device where they lie."""

import torch
import torch.nn.functional as F
from torch import Tensor


def draw_shifts(num_images: int, padding: int, generator: torch.Generator) -> Tensor:
    """How far to shift each picture down and right: int64 (2, N), 0 to 2 * padding."""
    return torch.randint(0, 2 * padding + 1, (2, num_images), generator=generator)


def crop(images: Tensor, padding: int, shifts: Tensor) -> Tensor:
    """Cut each picture out of its padded self, from `shifts` (2, N) on; the rest is black."""
    num_images, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    top, left = shifts.to(images.device)[..., None]
    rows = top + torch.arange(height, device=images.device)  # (N, H)
    columns = left + torch.arange(width, device=images.device)  # (N, W)
    numbers = torch.arange(num_images, device=images.device)
    # Indexed dimensions come first: (N, H, W, C).
    cropped = padded[numbers[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).contiguous()


def draw_flips(num_images: int, generator: torch.Generator) -> Tensor:
    """Whether to mirror each picture: bool (N,), true for about half of them."""
    return torch.rand(num_images, generator=generator) < 0.5


def flip(images: Tensor, flips: Tensor) -> Tensor:
    """Mirror left to right the pictures for which `flips` (N,) is true."""
    return torch.where(flips.to(images.device)[:, None, None, None], images.flip(-1), images)
