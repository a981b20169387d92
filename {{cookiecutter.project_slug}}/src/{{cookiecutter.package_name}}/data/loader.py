"""Batches for the training loop, in an order and with changes that follow from a seed."""

from collections.abc import Iterator

import numpy as np
import torch

from .augment import crop, draw_flips, draw_shifts, flip
from .dataset import Split
from .storage import Batch, Location, open_storage

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
        location: Location = "auto",
        seed: int = 0,
        crop_padding: int = 0,
        horizontal_flip: bool = False,
        share: slice = ALL,
    ) -> None:
        self.storage = open_storage(split, device, location)
        self.device = device
        self.num_images = len(split)
        self.batch_size = batch_size
        self.seed = seed
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.share = share

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """All pictures once, shuffled and augmented, without the batches before `first_step`."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, number))
        order = torch.randperm(self.num_images, generator=generator)
        batches = order.split(self.batch_size)
        wanted = self.storage.read(rows[self.share] for rows in batches[first_step:])
        for step, rows in enumerate(batches):
            # Random numbers are drawn for the whole batch, whatever the share of it.
            shifts = draw_shifts(len(rows), self.crop_padding, generator)
            flips = draw_flips(len(rows), generator)
            if step < first_step:
                continue
            images, labels = next(wanted)
            if self.crop_padding:
                images = crop(images, self.crop_padding, shifts[:, self.share])
            if self.horizontal_flip:
                images = flip(images, flips[self.share])
            yield images, labels

    def in_order(self) -> Iterator[Batch]:
        """All pictures once, in order and as they are."""
        batches = torch.arange(self.num_images).split(self.batch_size)
        return self.storage.read(rows[self.share] for rows in batches)


def epoch_seed(seed: int, *parts: int) -> int:
    """A seed for one epoch, say, that has nothing to do with its neighbours'."""
    # Their number is part of it, since numpy takes [1, 2] and [1, 2, 0] for the same.
    sequence = np.random.SeedSequence([seed, len(parts), *parts])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
