"""One measurement on a GPU, in a generated project's environment.

Usage: python gpu.py {ours,airbench,goal} NUM_IMAGES EPOCHS

ours: this project's loop, ResNet of width 64, on CIFAR-10-shaped images. airbench: airbench94 on
the same images; its network is another one, so the share of the peak is what compares. goal: the
prepared data until the test accuracy is 0.94. Prints one JSON object.

The peak is what a product of two large bfloat16 matrices reaches on the same device. `ours` and
`goal` run on a CPU too, for a try; airbench does not.
"""

import contextlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from my_project.config import load_config
from my_project.data.dataset import Split, load_info, load_split
from my_project.models.normalize import Normalize
from my_project.models.predict import predict_logits
from my_project.models.resnet import ResNet
from my_project.provenance import describe_hardware
from my_project.training.loop import train
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

DATA = Path("data/prepared")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MATRIX_SIZE = 8192 if DEVICE.type == "cuda" else 256
GOAL = 0.94
NUM_TEST = 1_000  # airbench loads a test set, and looks at it only where it prints


def main() -> None:
    kind, num_images, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(0)
    result = {"ours": ours, "airbench": by_airbench, "goal": to_goal}[kind](num_images, epochs)
    print(json.dumps(result | {"hardware": describe_hardware(DEVICE)}))


def random_pictures(num_images: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (num_images, 3, 32, 32), dtype=np.uint8)
    return images, generator.integers(0, 10, num_images)


def ours(num_images: int, epochs: int) -> dict:
    images, labels = random_pictures(num_images)
    model = nn.Sequential(Normalize([0.5] * 3, [0.25] * 3), ResNet(3, 10, width=64, num_blocks=2))
    rows = []
    train_ours(model, Split(images, labels), Split(images[:512], labels[:512]), epochs, rows.append)
    speed = sorted(row.images_per_second for row in rows)[len(rows) // 2]
    return speed_and_share(speed, model, "float32")


def train_ours(model: nn.Module, split: Split, validation: Split, epochs: int, on_epoch) -> None:
    settings = replace(
        load_config().train,
        epochs=epochs,
        patience=epochs,
        batch_size=min(1024, len(split)),
        crop_padding=2,
        horizontal_flip=True,
        compile=DEVICE.type == "cuda",
    )
    with tempfile.TemporaryDirectory() as folder:
        train(
            model,
            split,
            validation,
            settings,
            device=DEVICE,
            checkpoint=Path(folder, "last.pt"),
            fingerprint="",
            on_epoch=on_epoch,
        )


def by_airbench(num_images: int, epochs: int) -> dict:
    from airbench import CifarLoader, make_net94, train94

    images, labels = random_pictures(num_images)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # Its training looks for its test set under this name, in the current folder.
        Path("cifar10").mkdir()
        for name, size in (("train", num_images), ("test", NUM_TEST)):
            state = {
                "images": torch.from_numpy(images[:size]).permute(0, 2, 3, 1).contiguous(),
                "labels": torch.from_numpy(labels[:size]),
                "classes": [str(number) for number in range(10)],
            }
            torch.save(state, Path("cifar10", f"{name}.pt"))
        loader = CifarLoader("cifar10", batch_size=1024, aug={"flip": True, "translate": 2})
        train94(loader, epochs=1, verbose=False)  # to warm up
        torch.cuda.synchronize()
        start = time.perf_counter()
        train94(loader, epochs=epochs, tta_level=0, verbose=False)
        torch.cuda.synchronize()
    speed = len(loader) * 1024 * epochs / (time.perf_counter() - start)
    return speed_and_share(speed, make_net94(), "float16")


def speed_and_share(speed: float, model: nn.Module, dtype: str) -> dict:
    """Images a second, and the share of the device's peak that their arithmetic is."""
    pixels = torch.zeros(64, 3, 32, 32, dtype=getattr(torch, dtype), device=DEVICE)
    with FlopCounterMode(display=False) as counter:
        model.to(DEVICE)(pixels).sum().backward()
    operations = counter.get_total_flops() / 64
    return {"images_per_second": speed, "share_of_peak": speed * operations / peak()}


def peak() -> float:
    """Operations a second in a product of two large bfloat16 matrices."""
    a, b = torch.randn(2, MATRIX_SIZE, MATRIX_SIZE, device=DEVICE, dtype=torch.bfloat16)
    times = []
    for _ in range(10):
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * MATRIX_SIZE**3 / min(times)


def to_goal(num_images: int, epochs: int) -> dict:
    """Seconds of training until the goal, and what the last epoch comes to."""
    info, test = load_info(DATA), load_split(DATA, "test")
    split = load_split(DATA, "train")
    split = Split(split.images[:num_images], split.labels[:num_images])
    mean_std = Normalize(info.mean, info.std)
    model = nn.Sequential(mean_std, ResNet(info.image.channels, 10, width=64, num_blocks=2))
    seconds, reached = 0.0, None
    accuracy = 0.0

    def measure(row) -> None:
        nonlocal seconds, reached, accuracy
        seconds += len(split) / row.images_per_second
        accuracy = float((predict_logits(model, test.images).argmax(1) == test.labels).mean())
        if reached is None and accuracy >= GOAL:
            reached = seconds

    train_ours(model, split, load_split(DATA, "validation"), epochs, measure)
    return {"seconds_to_goal": reached, "accuracy": accuracy}


if __name__ == "__main__":
    main()
