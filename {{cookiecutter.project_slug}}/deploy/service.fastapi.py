"""How to talk to the container: FastAPI's port, its readiness, and what it has to answer."""

import csv
import io
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from .shell import DeployError

PORT = 8000
OPEN = {"ENVIRONMENT": "development"}  # no API keys: for the smoke test, on loopback
NUM_PICTURES = 20


def is_ready(url: str) -> bool:
    """Whether the service answers and has a model."""
    try:
        return httpx.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def check(url: str, model_sha256: str) -> int:
    """Send test pictures, and give their number.

    Raises:
        DeployError: another label than the evaluation saw, or another model.
    """
    images = np.load("data/prepared/test_images.npy", mmap_mode="r")
    with Path("reports/predictions.csv").open(encoding="utf-8", newline="") as file:
        expected = [row["prediction"] for row in islice(csv.DictReader(file), NUM_PICTURES)]
    for pixels, label in zip(images, expected, strict=False):
        response = httpx.post(f"{url}/v1/predict", content=_png(pixels)).raise_for_status()
        answer = response.json()
        if (answer["label"], answer["model"]["sha256"]) != (label, model_sha256):
            raise DeployError(
                f"A test picture got {answer['label']} from the model "
                f"{answer['model']['sha256'][:12]}, not {label} from {model_sha256[:12]}."
            )
    return len(expected)


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Pixels (C, H, W) as a PNG file."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
