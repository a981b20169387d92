"""Pictures of the test set that `export` puts beside the model, for the page to offer."""

import base64
import functools
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

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
        Sample(label=label, png=_png(pixels)) for pixels, label in zip(images, labels, strict=True)
    ]


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    grey = pixels.shape[0] == 1
    picture = Image.fromarray(pixels[0] if grey else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
