"""One training run on prepared images: by the project's loop, by the usual one, or by Lightning.

Usage, in a generated project's environment:
python training.py {ours,ours-float32,usual,lightning} EPOCHS

Network, optimiser, schedule, loss, batch size and number of epochs are the same. The usual loop and
Lightning read through a `DataLoader` with two workers, which decode nothing but transform each
image by itself, as in PyTorch's own MNIST example: padded random crop, random flip, to a tensor,
normalised. The transforms are written with Pillow and PyTorch in the manner of torchvision's.

Prints one JSON object for each epoch: seconds of training so far, without evaluation, and the
accuracy on the test set.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from my_project.config import TrainConfig, load_config
from my_project.data.dataset import Split, load_info, load_split
from my_project.models import build_model
from my_project.models.predict import predict_logits
from my_project.training.loop import train
from my_project.training.optimizer import build_optimizer, build_scheduler
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

DATA = Path("data/prepared")
NUM_WORKERS = 2
Report = Callable[[float], None]


class ImageDataset(Dataset):
    """Images as PIL images that are transformed one by one."""

    def __init__(self, split: Split, crop_padding: int, horizontal_flip: bool) -> None:
        self.split = split
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.split.images[index, 0])
        width, height = image.size
        padded = ImageOps.expand(image, self.crop_padding)
        left, top = (random.randint(0, 2 * self.crop_padding) for _ in range(2))
        image = padded.crop((left, top, left + width, top + height))
        if self.horizontal_flip and random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        # The network normalises pixels itself.
        pixels = torch.from_numpy(np.array(image, dtype=np.float32))[None]
        return pixels, int(self.split.labels[index])


def main() -> None:
    kind, epochs = sys.argv[1], int(sys.argv[2])
    config = load_config()
    settings = replace(config.train, epochs=epochs, patience=epochs)
    torch.manual_seed(0)
    random.seed(0)
    model = build_model(config.model, load_info(DATA))
    test = load_split(DATA, "test")
    seconds = 0.0
    epoch = 0

    def report(duration: float) -> None:
        nonlocal seconds, epoch
        seconds += duration
        epoch += 1
        accuracy = float((predict_logits(model, test.images).argmax(1) == test.labels).mean())
        print(json.dumps({"epoch": epoch, "seconds": seconds, "accuracy": accuracy}), flush=True)

    RUNS[kind](model, load_split(DATA, "train"), settings, report)


def ours(model: nn.Module, split: Split, settings: TrainConfig, report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train(
            model,
            split,
            load_split(DATA, "validation"),
            settings,
            device=torch.device("cpu"),
            checkpoint=Path(folder, "last.pt"),
            fingerprint="",
            on_epoch=lambda row: report(len(split) / row.images_per_second),
        )


def loader_of(split: Split, settings: TrainConfig) -> DataLoader:
    dataset = ImageDataset(split, settings.crop_padding, settings.horizontal_flip)
    workers = {"num_workers": NUM_WORKERS, "persistent_workers": True}
    return DataLoader(dataset, settings.batch_size, shuffle=True, **workers)


def usual(model: nn.Module, split: Split, settings: TrainConfig, report: Report) -> None:
    loader = loader_of(split, settings)
    optimizer = build_optimizer(model, settings)
    scheduler = build_scheduler(optimizer, settings, settings.epochs * len(loader))
    for _ in range(settings.epochs):
        model.train()
        start = time.perf_counter()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels, label_smoothing=settings.label_smoothing)
            loss.backward()
            optimizer.step()
            scheduler.step()
        report(time.perf_counter() - start)


class Module(lightning.LightningModule):
    """The same step, as Lightning wants it."""

    def __init__(self, model: nn.Module, settings: TrainConfig, num_steps: int) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.num_steps = num_steps

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        smoothing = self.settings.label_smoothing
        return F.cross_entropy(self.model(images), labels, label_smoothing=smoothing)

    def configure_optimizers(self):
        optimizer = build_optimizer(self.model, self.settings)
        scheduler = build_scheduler(optimizer, self.settings, self.num_steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class Clock(lightning.Callback):
    """Times each epoch."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_train_epoch_start(self, *_) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, _, module: Module) -> None:
        self.report(time.perf_counter() - self.start)
        module.train()


def by_lightning(model: nn.Module, split: Split, settings: TrainConfig, report: Report) -> None:
    loader = loader_of(split, settings)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=settings.epochs,
        callbacks=[Clock(report)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(model, settings, settings.epochs * len(loader)), loader)


def ours_in_32_bits(model: nn.Module, split: Split, settings: TrainConfig, report: Report) -> None:
    ours(model, split, replace(settings, precision="float32"), report)


RUNS = {
    "ours": ours,
    "ours-float32": ours_in_32_bits,
    "usual": usual,
    "lightning": by_lightning,
}

if __name__ == "__main__":
    main()
