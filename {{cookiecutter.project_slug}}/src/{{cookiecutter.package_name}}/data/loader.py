"""Batches for the training loop: the arrays live on the device, and all work on them is batched."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .dataset import Split

Batch = tuple[Tensor, Tensor]
ALL = slice(None)


class BatchLoader:
    """Gives a split as batches of pixels uint8 (N, C, H, W) and labels int64 (N,).

    Shuffling and augmentation of an epoch follow from `seed` and the epoch's number alone, so a
    run that was interrupted goes on as if nothing had happened. The last batch may be smaller.

    share: the rows of each batch that are wanted, where several processes share the batches. What
    a picture goes through is the same however many they are.
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
        share: slice = ALL,
    ) -> None:
        self.images = torch.from_numpy(np.array(split.images)).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.share = share

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """All pictures once, shuffled and augmented."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, number))
        order = torch.randperm(len(self.labels), generator=generator).to(self.labels.device)
        for batch in order.split(self.batch_size):
            rows = batch[self.share]
            images = self.images[rows]
            # Random numbers are drawn for the whole batch, whatever the share of it.
            if self.crop_padding:
                shifts = draw_shifts(len(batch), self.crop_padding, generator)
                images = crop(images, self.crop_padding, shifts[:, self.share])
            if self.horizontal_flip:
                images = flip(images, draw_flips(len(batch), generator)[self.share])
            yield images, self.labels[rows]

    def in_order(self) -> Iterator[Batch]:
        """The share of the pictures once, in order and as they are."""
        images, labels = self.images[self.share], self.labels[self.share]
        return zip(images.split(self.batch_size), labels.split(self.batch_size), strict=True)


def epoch_seed(seed: int, *parts: int) -> int:
    """A seed for one epoch, say, that shares no digits with its neighbours'."""
    return int(np.random.SeedSequence([seed, *parts]).generate_state(1, np.uint64)[0] >> 1)


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
