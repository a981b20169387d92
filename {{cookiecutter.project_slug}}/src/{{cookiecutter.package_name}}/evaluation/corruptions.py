"""Accuracy on worse images: noise, blur, darkness, rotation and JPEG, at five severities.

After Hendrycks and Dietterich 2019, arXiv:1903.12261. Noise, blur and JPEG have the severities of
their CIFAR-10-C; blur scales with the images' size.
"""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate
from torch import nn

from ..data.dataset import Split
from ..models.predict import predict_logits
from .metrics import accuracy_with_interval

Pixels = npt.NDArray[np.uint8]

BATCH_SIZE = 512
SEVERITIES = {  # 1 to 5
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # standard deviation, of the range of a pixel
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # standard deviation in pixels of a 32-pixel image
    "darkness": (0.8, 0.65, 0.5, 0.35, 0.2),  # share of the light that is left
    "rotation": (5, 10, 15, 20, 30),  # degrees
    "jpeg": (80, 65, 58, 50, 40),  # quality
}


def measure_corruptions(model: nn.Module, split: Split, seed: int) -> dict[str, Any]:
    """Measure the accuracy, with its 95 % Wilson interval, at severities 1 to 5 by corruption."""
    return {
        name: [_measure(model, split, name, level, seed) for level in levels]
        for name, levels in SEVERITIES.items()
    }


def corrupt(images: Pixels, name: str, level: float, generator: np.random.Generator) -> Pixels:
    """Corrupt images (N, C, H, W); `level` is one of `SEVERITIES[name]`."""
    match name:
        case "noise":
            noisy = images + generator.normal(0, 255 * level, images.shape)
            return noisy.round().clip(0, 255).astype(np.uint8)
        case "blur":
            sigma = level * images.shape[-1] / 32
            blurred: Pixels = gaussian_filter(images, (0, 0, sigma, sigma))
            return blurred
        case "darkness":
            return (images * level).round().astype(np.uint8)
        case "rotation":
            turned: Pixels = rotate(images, level, (3, 2), reshape=False, order=1, mode="nearest")
            return turned
        case _:
            return np.stack([_as_jpeg(image, int(level)) for image in images])


def _measure(model: nn.Module, split: Split, name: str, level: float, seed: int) -> dict[str, Any]:
    generator, num_correct = np.random.default_rng(seed), 0
    for start in range(0, len(split), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        logits = predict_logits(model, corrupt(split.images[batch], name, level, generator))
        num_correct += int((logits.argmax(axis=1) == split.labels[batch]).sum())
    return {"level": level, **accuracy_with_interval(num_correct, len(split))}


def _as_jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(buffer))
    return decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)
