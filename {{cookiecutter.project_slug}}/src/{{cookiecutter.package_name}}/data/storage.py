"""Where the pictures lie during training: in the device's memory, or in their file on the disk."""

import mmap
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import psutil
import torch
from torch import Tensor

from .dataset import Split

Batch = tuple[Tensor, Tensor]
Location = Literal["auto", "device", "disk"]

NUM_AHEAD = 2  # batches that are read before they are wanted
ROWS_AT_ONCE = 32  # are read from a file; Linux may keep up to 2 MB around each


class Storage(Protocol):
    """Gives the wanted rows of a split, batch by batch, on the device."""

    def read(self, batches: Iterable[Tensor]) -> Iterator[Batch]:
        """Pictures uint8 (N, C, H, W) and labels int64 (N,) for row numbers int64 (N,) each."""


class OnDevice:
    """All of a split in the device's memory, where a batch is a single gather."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.device = device
        self.images = torch.from_numpy(np.array(split.images)).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)

    def read(self, batches: Iterable[Tensor]) -> Iterator[Batch]:
        for rows in batches:
            rows_there = rows.to(self.device, non_blocking=True)
            yield self.images[rows_there], self.labels[rows_there]


class OnDisk:
    """A split that stays in its memory-mapped file.

    A thread reads the batches to come while the network works on this one, and memory holds just
    those, however many pictures there are.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split = split
        self.device = device

    def read(self, batches: Iterable[Tensor]) -> Iterator[Batch]:
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead: deque[Future[Batch]] = deque()
            for rows in batches:
                ahead.append(reader.submit(self._gather, rows))
                if len(ahead) > NUM_AHEAD:
                    yield self._send(ahead.popleft().result())
            while ahead:
                yield self._send(ahead.popleft().result())

    def _gather(self, rows: Tensor) -> Batch:
        numbers = rows.numpy()
        images = np.empty((len(rows), *self.split.images.shape[1:]), dtype=np.uint8)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            images[part] = self.split.images[numbers[part]]
            self._release()
        batch = torch.from_numpy(images), torch.from_numpy(self.split.labels[numbers])
        return batch if self.device.type != "cuda" else (batch[0].pin_memory(), batch[1])

    def _release(self) -> None:
        """Let what was read leave this process's memory."""
        mapping = self.split.images.base
        if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)

    def _send(self, batch: Batch) -> Batch:
        images, labels = batch
        return images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def open_storage(split: Split, device: torch.device, location: Location) -> Storage:
    """Where `location` says; `auto` takes the device if half of its free memory is enough.

    Of a processor's memory, each process that `torchrun` started on this machine has its share. A
    container's limit is not known.
    """
    if location == "auto":
        num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
        room = _free_memory(device) / 2 / num_processes
        location = "device" if split.images.nbytes <= room else "disk"
    return OnDevice(split, device) if location == "device" else OnDisk(split, device)


def _free_memory(device: torch.device) -> int:
    """In bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
