"""Test-time augmentation: the mean answer to several views of a picture.

Krizhevsky et al. 2012 average over crops and mirror images. It costs as many times the computation,
the service does not do it, and so it is never part of the headline metrics.
"""

import numpy as np
import numpy.typing as npt
from torch import nn

from ..models.predict import predict_logits

Pixels = npt.NDArray[np.uint8]


def views(images: Pixels, *, shifted: bool, mirrored: bool) -> list[Pixels]:
    """Pictures (N, C, H, W) as they are, a pixel up and left, and down and right; all mirrored too.

    shifted, mirrored: whether training does so as well; other views would only be strange.
    """
    found = [images]
    if shifted:
        padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        found += [padded[:, :, 2:, 2:], padded[:, :, :-2, :-2]]
    if mirrored:
        found += [view[..., ::-1] for view in found]
    return found


def predict_views(model: nn.Module, found: list[Pixels]) -> npt.NDArray[np.float32]:
    """The mean logits (N, num_classes) of all views."""
    logits = np.stack([predict_logits(model, view) for view in found])
    mean: npt.NDArray[np.float32] = logits.mean(axis=0, dtype=np.float32)
    return mean
