"""Smaller models: what `params.yaml: compress` asks for, applied to the trained network."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ..config import Config, ModelConfig
from ..data.dataset import DatasetInfo, load_info, load_split
from ..export import export_onnx
from ..files import sha256_of
from ..models import build_model
from ..paths import BEST_MODEL, CHECKPOINTS, PREPARED, SERVED_INT8, SERVED_MODEL
from ..provenance import run_fingerprint
from ..training.checkpoint import load_model, save_model
from ..training.device import choose_device
from ..training.loop import train
from .int8 import quantize_int8
from .prune import prune

CPU = torch.device("cpu")


def compress(config: Config) -> None:
    """Replace the served model by a smaller one, and write its int8 file if that is asked for."""
    info, model, asked = load_info(PREPARED), config.model, config.compress
    network = load_model(BEST_MODEL, CPU)
    torch.manual_seed(config.train.seed)
    if asked.student_width:
        model = replace(model, name="cnn", cnn=replace(model.cnn, width=asked.student_width))
        network = build_model(model, info)
        _train(network, model, config, info, "student")
    if asked.pruned_width:
        section = replace(getattr(model, model.name), width=asked.pruned_width)
        model = replace(model, **{model.name: section})
        wide, network = network, build_model(model, info)
        prune(wide.to(CPU), network)
        _train(network, model, config, info, "pruned")
    if asked.int8:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "float32.onnx"
            served = load_model(SERVED_MODEL, CPU)
            export_onnx(served, info.image, path, opset=config.export.opset)
            quantize_int8(path, SERVED_INT8, load_split(PREPARED, "train").images)


def _train(
    network: nn.Module, model: ModelConfig, config: Config, info: DatasetInfo, method: str
) -> None:
    """Train with the trained network as teacher, keep the best epoch, and save it as the served.

    Interrupted by SIGTERM, the same command continues.
    """
    device = choose_device(config.train.device)
    decides = (run_fingerprint(config, info), sha256_of(BEST_MODEL), config.compress)
    state = train(
        network,
        load_split(PREPARED, "train"),
        load_split(PREPARED, "validation"),
        replace(config.train, epochs=config.compress.epochs),
        device=device,
        checkpoint=CHECKPOINTS / method / "last.pt",
        fingerprint=repr(decides),
        teacher=load_model(BEST_MODEL, device),
    )
    network.load_state_dict(state.best_weights)
    save_model(state.best_weights, model, info, SERVED_MODEL)
