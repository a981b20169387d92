"""Run inside a generated project: train on a few images of each class, as params.yaml says.

Usage: python transfer.py SEED NUM_PER_CLASS NUM_TO_VALIDATE NUM_TO_TEST. The seed also draws the
images. Prints one JSON object: the accuracy on the first images of the test split, of a pretrained
network also that of its head alone before the rest is trained, and the CPU seconds of training.
"""

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
from my_project.models import build_model
from my_project.models.predict import predict_logits
from my_project.models.pretrained import start_from_imagenet
from my_project.paths import PREPARED
from my_project.training.loop import train

CPU = torch.device("cpu")


def main() -> None:
    seed, num_per_class, num_to_validate, num_to_test = map(int, sys.argv[1:])
    config, info = load_config(), load_info(PREPARED)
    settings = replace(config.train, seed=seed, patience=config.train.epochs)
    training = few(load_split(PREPARED, "train"), num_per_class, seed)
    validation = few(load_split(PREPARED, "validation"), num_to_validate, seed)
    test = load_split(PREPARED, "test")
    test = Split(test.images[:num_to_test], test.labels[:num_to_test])
    torch.manual_seed(seed)
    model = build_model(config.model, info)
    result: dict[str, float] = {}
    if config.model.name == "pretrained":
        start_from_imagenet(model, training, CPU)
        result["head"] = accuracy(model, test)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "last.pt"
        state = train(
            model, training, validation, settings, device=CPU, checkpoint=checkpoint, fingerprint=""
        )
    result["seconds"] = time.process_time() - start
    model.load_state_dict(state.best_weights)
    result["accuracy"] = accuracy(model, test)
    print(json.dumps(result))


def few(split: Split, num_per_class: int, seed: int) -> Split:
    """Draw as many images of each class."""
    generator = np.random.default_rng(seed)
    rows = [
        generator.choice(np.flatnonzero(split.labels == label), num_per_class, replace=False)
        for label in np.unique(split.labels)
    ]
    chosen = np.sort(np.concatenate(rows))
    return Split(split.images[chosen], split.labels[chosen])


def accuracy(model: torch.nn.Module, test: Split) -> float:
    return float((predict_logits(model, test.images).argmax(axis=1) == test.labels).mean())


main()
