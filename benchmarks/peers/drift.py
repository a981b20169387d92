"""Run inside a generated project: how many streams of test images raise an alarm, as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from my_project.data.dataset import Split, load_split
from my_project.monitoring.drift import compare
from my_project.monitoring.reference import load_reference, measure
from my_project.paths import MODEL, PREPARED
from my_project.serving.predictor import Predictor
from PIL import Image, ImageFilter

SIZES = (100, 500, 2000)
NUM_SEEDS = 40
NUM_UNSHIFTED = 1000  # to measure a rate of one in a hundred
PREDICTOR = Predictor.load(Path(MODEL), num_threads=2)
CLASSES = PREDICTOR.metadata.classes
REFERENCE = load_reference(Path(MODEL))
TEST = load_split(PREPARED, "test")

Filter = Callable[[Image.Image], Image.Image]


def filtered(change: Filter) -> Split:
    """The test images, each changed by Pillow."""
    images = [np.asarray(change(Image.fromarray(image[0]))) for image in TEST.images]
    return Split(np.stack(images)[:, None], TEST.labels)


def sampled(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """What the model says about the images, as in reference.py, and whether it is right."""
    batches = np.array_split(split.images, 20)
    probabilities = np.concatenate([PREDICTOR.predict(np.asarray(batch)) for batch in batches])
    sample = measure(split.images, np.log(np.maximum(probabilities, 1e-30)))
    return sample, probabilities.argmax(axis=1) == split.labels


def alarms(sample: np.ndarray, num_streams: int, weights: np.ndarray) -> list[str]:
    """In how many streams of each size there is an alarm."""
    counts = []
    for size in SIZES:
        num_alarms = 0
        for seed in range(num_streams):
            rng = np.random.default_rng([seed, size])
            rows = rng.choice(len(sample), size, replace=False, p=weights / weights.sum())
            num_alarms += compare(REFERENCE, sample[rows], CLASSES)[0].is_shifted
        counts.append(str(num_alarms))
    return counts


def row(name: str, split: Split, num_streams: int, weights: np.ndarray | None = None) -> list[str]:
    sample, correct = sampled(split)
    weights = np.ones(len(sample)) if weights is None else weights
    accuracy = np.average(correct, weights=weights)
    counts = alarms(sample, num_streams, weights)
    return [name, f"{num_streams:,}", *counts, f"{100 * accuracy:.1f}"]


def main() -> None:
    brightness = {
        share: (lambda image, share=share: image.point(lambda p: p * share)) for share in (0.9, 0.7)
    }
    half = TEST.labels < len(CLASSES) / 2
    rows = [
        row("unshifted", TEST, NUM_SEEDS),
        row("unshifted", TEST, NUM_UNSHIFTED),
        row(
            "blurred, radius 1",
            filtered(lambda i: i.filter(ImageFilter.GaussianBlur(1))),
            NUM_SEEDS,
        ),
        row("darkened to 70 %", filtered(brightness[0.7]), NUM_SEEDS),
        row("half of the classes twice as often", TEST, NUM_SEEDS, 1.0 + half),
        row(
            "rotated by 20 degrees",
            filtered(lambda i: i.rotate(20, Image.Resampling.BILINEAR)),
            NUM_SEEDS,
        ),
    ]
    print(json.dumps({"sizes": SIZES, "rows": rows}))


main()
