"""One epoch over prepared images, and the memory that it takes.

Usage, in a generated project's environment: python memory.py {device,disk} NUM_IMAGES

Writes NUM_IMAGES random 32x32 colour images as `prepare` does, trains a small network on them in
a process of its own, and prints its highest resident memory in MB and its images per second.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from my_project.config import load_config
from my_project.data.dataset import Split, load_split
from my_project.models.cnn import CNN
from my_project.models.normalize import Normalize
from my_project.training.loop import train
from torch import nn

BLOCK = 10_000
NUM_VALIDATION = 1_000


def main() -> None:
    location, num_images = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) == 4:
        measure(location, Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory(dir=".") as folder:
        write_pictures(Path(folder), num_images)
        command = [sys.executable, __file__, location, str(num_images), folder]
        subprocess.run(command, check=True)


def write_pictures(folder: Path, num_images: int) -> None:
    generator = np.random.default_rng(0)
    shape = (num_images, 3, 32, 32)
    file = folder / "train_images.npy"
    images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, num_images, BLOCK):
        block = images[start : start + BLOCK]
        block[:] = generator.integers(0, 256, block.shape, dtype=np.uint8)
    images.flush()
    np.save(folder / "train_labels.npy", generator.integers(0, 10, num_images))


def measure(location: str, folder: Path) -> None:
    split = load_split(folder, "train")
    settings = replace(
        load_config().train,
        data_location=location,
        epochs=1,
        batch_size=512,
        crop_padding=2,
        horizontal_flip=True,
    )
    rows = []
    train(
        nn.Sequential(Normalize([0.5] * 3, [0.25] * 3), CNN(3, 10, width=4, dropout=0.0)),
        split,
        Split(np.array(split.images[:NUM_VALIDATION]), split.labels[:NUM_VALIDATION]),
        settings,
        device=torch.device("cpu"),
        checkpoint=folder / "last.pt",
        fingerprint="",
        on_epoch=rows.append,
    )
    print(json.dumps({"peak_mb": peak_mb(), "images_per_second": rows[0].images_per_second}))


def peak_mb() -> float:
    """Highest resident memory of this process; `getrusage` would count its parent's, too."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1000


if __name__ == "__main__":
    main()
