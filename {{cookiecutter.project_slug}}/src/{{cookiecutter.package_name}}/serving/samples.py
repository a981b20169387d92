"""Images of the test set that `export` puts beside the model, for the page to offer."""

import base64
import functools
from pathlib import Path

import numpy as np

from ..files import encode_png
from ..metadata import SAMPLES_FILE
from .schemas import Sample


@functools.cache
def load_samples(model_dir: Path) -> list[Sample]:
    """The samples as the API gives them; an empty list for a model that has none."""
    file = model_dir / SAMPLES_FILE
    if not file.exists():
        return []
    with np.load(file) as samples:
        images = samples["images"]  # (N, C, H, W)
        labels = samples["labels"].tolist()
    return [
        Sample(label=label, png=base64.b64encode(encode_png(pixels)).decode())
        for pixels, label in zip(images, labels, strict=True)
    ]
