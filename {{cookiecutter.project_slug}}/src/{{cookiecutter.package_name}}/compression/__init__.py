"""Smaller models: what `params.yaml: compress` asks for, applied to the trained network."""

import tempfile
from pathlib import Path

import torch

from ..config import Config
from ..data.dataset import load_info, load_split
from ..export import export_onnx
from ..paths import PREPARED, SERVED_INT8, SERVED_MODEL
from ..training.checkpoint import load_model
from .int8 import quantize_int8


def compress(config: Config) -> None:
    """Replace the served model by a smaller one, and write its int8 file if that is asked for."""
    info, train_split = load_info(PREPARED), load_split(PREPARED, "train")
    if config.compress.int8:
        network = load_model(SERVED_MODEL, torch.device("cpu"))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "float32.onnx"
            export_onnx(network, info.image, path, opset=config.export.opset)
            quantize_int8(path, SERVED_INT8, train_split.images)
