"""A model to serve and an image to send to it."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # for arrays this small, more threads only wait for each other

from .digits import digit_images
from .serving_helpers import png, write_model


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
