"""Where the images are during training: in the device's memory, or in their file on the disk."""

import mmap
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import psutil
import torch
from torch import Tensor

from ..config import Location
from .dataset import Split

Batch = tuple[Tensor, Tensor]

NUM_PREFETCHED = 2  # batches that are read ahead
ROWS_PER_READ = 32  # Linux may map up to 2 MB of the file around each row


class Storage(Protocol):
    """Reads rows of a split, batch by batch, and puts them on the device."""

    def read(self, batches: Iterable[Tensor]) -> Iterator[Batch]:
        """Yield images uint8 (N, C, H, W) and labels int64 (N,) for row numbers int64 (N,)."""


class OnDevice:
    """The whole split in the device's memory, where a batch is a single gather."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.device = device
        self.images = torch.from_numpy(np.array(split.images)).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)

    def read(self, batches: Iterable[Tensor]) -> Iterator[Batch]:
        for rows in batches:
            device_rows = rows.to(self.device, non_blocking=True)
            yield self.images[device_rows], self.labels[device_rows]


class OnDisk:
    """A split that stays in its memory-mapped file.

    A thread reads the next batches while the network works on this one. Memory holds those batches
    alone, however many images there are.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split = split
        self.device = device

    def read(self, batches: Iterable[Tensor]) -> Iterator[Batch]:
        with ThreadPoolExecutor(max_workers=1) as reader:
            queue: deque[Future[Batch]] = deque()
            for rows in batches:
                queue.append(reader.submit(self._gather, rows))
                if len(queue) > NUM_PREFETCHED:
                    yield self._to_device(queue.popleft().result())
            while queue:
                yield self._to_device(queue.popleft().result())

    def _gather(self, rows: Tensor) -> Batch:
        indices = rows.numpy()
        images = np.empty((len(rows), *self.split.images.shape[1:]), dtype=np.uint8)
        for start in range(0, len(rows), ROWS_PER_READ):
            part = slice(start, start + ROWS_PER_READ)
            images[part] = self.split.images[indices[part]]
            self._release()
        batch = torch.from_numpy(images), torch.from_numpy(self.split.labels[indices])
        # From pinned memory, the copy to a GPU runs beside its computation.
        return batch if self.device.type != "cuda" else (batch[0].pin_memory(), batch[1])

    def _release(self) -> None:
        """Unmap the pages that were read, or this process would grow to the size of the file."""
        mapping = self.split.images.base
        if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)

    def _to_device(self, batch: Batch) -> Batch:
        images, labels = batch
        return images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def open_storage(split: Split, device: torch.device, location: Location) -> Storage:
    """Keep the split where `location` says.

    `auto` takes the device if the images fit into half of its free memory. The processes that
    `torchrun` started on this machine divide a CPU's memory among themselves. The memory limit of a
    container is not taken into account.
    """
    if location == "auto":
        num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
        available = _free_memory(device) / 2 / num_processes
        location = "device" if split.images.nbytes <= available else "disk"
    return OnDevice(split, device) if location == "device" else OnDisk(split, device)


def _free_memory(device: torch.device) -> int:
    """Return the device's free memory in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
