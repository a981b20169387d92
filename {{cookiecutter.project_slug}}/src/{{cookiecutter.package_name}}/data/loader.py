"""Batches for the training loop: the arrays live on the device, and all work on them is batched."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .dataset import Split

Batch = tuple[Tensor, Tensor]


class BatchLoader:
    """Gives a split as batches of pixels uint8 (N, C, H, W) and labels int64 (N,).

    Shuffling and augmentation of an epoch follow from `seed` and the epoch's number alone, so a
    run that was interrupted goes on as if nothing had happened. The last batch may be smaller.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        device: torch.device,
        seed: int = 0,
        crop_padding: int = 0,
        horizontal_flip: bool = False,
    ) -> None:
        self.images = torch.from_numpy(np.array(split.images)).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """All pictures once, shuffled and augmented."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, number))
        order = torch.randperm(len(self.labels), generator=generator).to(self.labels.device)
        for rows in order.split(self.batch_size):
            images = self.images[rows]
            if self.crop_padding:
                images = random_crop(images, self.crop_padding, generator)
            if self.horizontal_flip:
                images = random_flip(images, generator)
            yield images, self.labels[rows]

    def in_order(self) -> Iterator[Batch]:
        """All pictures once, in order and as they are."""
        return zip(
            self.images.split(self.batch_size), self.labels.split(self.batch_size), strict=True
        )


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch that shares no digits with its neighbours'."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each picture by up to `padding` pixels in each direction; the rest becomes black."""
    num_images, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    shifts = torch.randint(0, 2 * padding + 1, (2, num_images, 1), generator=generator)
    top, left = shifts.to(images.device)
    rows = top + torch.arange(height, device=images.device)  # (N, H)
    columns = left + torch.arange(width, device=images.device)  # (N, W)
    numbers = torch.arange(num_images, device=images.device)
    # Indexed dimensions come first: (N, H, W, C).
    cropped = padded[numbers[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture left to right with probability one half."""
    flip = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(-1), images)
