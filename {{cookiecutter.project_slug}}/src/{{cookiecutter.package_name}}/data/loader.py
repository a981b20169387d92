"""Batches for the training loop; their order and augmentation follow from a seed."""

from collections.abc import Iterator

import numpy as np
import torch

from ..config import Location
from .augment import crop, draw_flips, draw_shifts, flip
from .dataset import Split
from .storage import Batch, open_storage

WHOLE_BATCH = slice(None)


class BatchLoader:
    """Yields a split as batches of images uint8 (N, C, H, W) and labels int64 (N,).

    The shuffling and augmentation of an epoch follow from `seed` and the epoch's number alone, so a
    run that was interrupted continues as if nothing had happened. The last batch may be smaller.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        device: torch.device,
        location: Location = "auto",
        seed: int = 0,
        crop_padding: int = 0,
        horizontal_flip: bool = False,
        rank_slice: slice = WHOLE_BATCH,
    ) -> None:
        """Open the storage of the split.

        Args:
            batch_size: the global one, over all processes.
            location: where images are kept during training; see `open_storage`.
            crop_padding: random crops shift an image by up to so many pixels; 0 for none.
            horizontal_flip: mirror a random half of the images.
            rank_slice: the rows of each global batch that this process trains on. An image is
                augmented in the same way however many processes there are.
        """
        self.storage = open_storage(split, device, location)
        self.device = device
        self.num_images = len(split)
        self.batch_size = batch_size
        self.seed = seed
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.rank_slice = rank_slice

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield each image once, shuffled and augmented, from batch `first_step` on."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, number))
        order = torch.randperm(self.num_images, generator=generator)
        batches = order.split(self.batch_size)
        stored = self.storage.read(rows[self.rank_slice] for rows in batches[first_step:])
        for step, rows in enumerate(batches):
            # Drawn for the global batch, and for batches that are not read, too: each image then
            # gets the same numbers in any number of processes and from any first step.
            shifts = draw_shifts(len(rows), self.crop_padding, generator)
            flips = draw_flips(len(rows), generator)
            if step < first_step:
                continue
            images, labels = next(stored)
            if self.crop_padding:
                images = crop(images, self.crop_padding, shifts[:, self.rank_slice])
            if self.horizontal_flip:
                images = flip(images, flips[self.rank_slice])
            yield images, labels

    def in_order(self) -> Iterator[Batch]:
        """Yield each image once, unchanged and in the order of the split."""
        batches = torch.arange(self.num_images).split(self.batch_size)
        return self.storage.read(rows[self.rank_slice] for rows in batches)


def epoch_seed(seed: int, *parts: int) -> int:
    """Return an independent seed for each (seed, epoch) or (seed, epoch, rank)."""
    # The length is part of it, because NumPy pads with zeros: [1, 2] and [1, 2, 0] are one seed.
    sequence = np.random.SeedSequence([seed, len(parts), *parts])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)  # PyTorch takes 63 bits
