"""What the plain servers share: an image's bytes to pixels, and logits to an answer."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

METADATA = json.loads(Path("model/metadata.json").read_text())


def pixels_of(data: bytes) -> np.ndarray:
    """The image as uint8 (1, 1, H, W)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))[None, None]


def answer_of(logits: np.ndarray) -> dict:
    """Label and probabilities of one image, as the project's own service names them."""
    exponentials = np.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    ranking = np.argsort(-probabilities)
    classes = METADATA["classes"]
    rows = [{"label": classes[k], "probability": float(probabilities[k])} for k in ranking]
    return {"label": rows[0]["label"], "probabilities": rows}
