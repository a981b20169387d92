"""A model to serve and a picture to show it."""

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton looks at it when it is first imported

from .serving_helpers import digit_images, png, write_model


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, as `export` leaves it; tests do not change it."""
    folder = tmp_path_factory.mktemp("served") / "model"
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def digit() -> bytes:
    """A scanned 3 as a PNG file."""
    return png(digit_images()[0][3])
