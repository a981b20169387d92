"""Random crops and flips of whole batches of training images, on the device that holds them.

Drawing the random numbers is apart from applying them: they are always drawn on the CPU, so every
device and every number of processes augments an image in the same way.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def draw_shifts(num_images: int, padding: int, generator: torch.Generator) -> Tensor:
    """Draw the top left corner of each image's crop: int64 (2, N), 0 to 2 * padding."""
    return torch.randint(0, 2 * padding + 1, (2, num_images), generator=generator)


def crop(images: Tensor, padding: int, shifts: Tensor) -> Tensor:
    """Pad each image with black and crop it back to its size.

    Args:
        images: (N, C, H, W).
        padding: black pixels on each side.
        shifts: top and left corner of the crops in the padded images, int64 (2, N).

    Returns:
        (N, C, H, W).
    """
    num_images, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    top, left = shifts.to(images.device)[..., None]
    rows = top + torch.arange(height, device=images.device)  # (N, H)
    columns = left + torch.arange(width, device=images.device)  # (N, W)
    numbers = torch.arange(num_images, device=images.device)
    # With a slice between them, the indexed dimensions come first: (N, H, W, C).
    cropped = padded[numbers[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).contiguous()


def draw_flips(num_images: int, generator: torch.Generator) -> Tensor:
    """Draw whether to mirror each image: bool (N,), true for about half of them."""
    return torch.rand(num_images, generator=generator) < 0.5


def flip(images: Tensor, flips: Tensor) -> Tensor:
    """Mirror left to right those images (N, C, H, W) for which `flips` (N,) is true."""
    return torch.where(flips.to(images.device)[:, None, None, None], images.flip(-1), images)
