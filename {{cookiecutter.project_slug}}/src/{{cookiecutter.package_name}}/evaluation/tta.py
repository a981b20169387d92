"""Test-time augmentation: average the logits over shifted and mirrored copies of an image.

Krizhevsky et al. 2012 average over crops and mirror images. It multiplies the computation, and the
service does not do it, so it is never part of the headline metrics.
"""

import numpy as np
import numpy.typing as npt
from torch import nn

from ..models.predict import predict_logits

Pixels = npt.NDArray[np.uint8]

BATCH_SIZE = 512


def augment(images: Pixels, *, shifted: bool, mirrored: bool) -> list[Pixels]:
    """Return copies of images (N, C, H, W): as they are, shifted by a pixel, mirrored.

    Args:
        shifted: also by a pixel up and left, and by a pixel down and right. Only if training shifts
            images, too: the model has never seen others.
        mirrored: also each of these mirrored, under the same condition.
    """
    copies = [images]
    if shifted:
        padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        copies += [padded[:, :, 2:, 2:], padded[:, :, :-2, :-2]]
    if mirrored:
        copies += [copy[..., ::-1] for copy in copies]
    return copies


def predict_tta(
    model: nn.Module, images: Pixels, *, shifted: bool, mirrored: bool
) -> npt.NDArray[np.float32]:
    """Return the mean logits (N, num_classes) over the copies of `augment`, batch by batch."""
    means = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        copies = augment(batch, shifted=shifted, mirrored=mirrored)
        logits = [predict_logits(model, copy, BATCH_SIZE) for copy in copies]
        means.append(np.mean(logits, axis=0, dtype=np.float32))
    return np.concatenate(means)
