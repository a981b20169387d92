"""Checkpoints: files that are whole or not there, and that only the run that wrote them resumes."""

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from ..config import Config, ModelConfig
from ..data.dataset import DatasetInfo
from ..errors import UserError
from ..models import build_model

PACKAGE_FOLDER = Path(__file__).parents[1]


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    with scratch.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def save_model(
    weights: dict[str, Tensor], config: ModelConfig, info: DatasetInfo, path: Path
) -> None:
    """Save a network with all that `load_model` needs to build it again."""
    state = {"weights": weights, "config": asdict(config), "dataset": info.to_json()}
    save_atomically(state, path)


def load_model(path: Path, device: torch.device) -> nn.Sequential:
    """The network that `save_model` saved, ready to predict.

    Raises:
        UserError: there is no such file; train first.
    """
    if not path.exists():
        raise UserError(f"{path} not found: train first, with `dvc repro train`")
    state = torch.load(path, map_location=device, weights_only=True)
    config = TypeAdapter(ModelConfig).validate_python(state["config"])
    model = build_model(config, DatasetInfo.from_json(state["dataset"]))
    model.load_state_dict(state["weights"])
    return model.to(device).eval()


def run_fingerprint(config: Config, info: DatasetInfo) -> str:
    """What decides a run's result: code, parameters and data; equal means it may be resumed."""
    digest = hashlib.sha256(repr((config.model, config.train, info.content_hash)).encode())
    for file in sorted(PACKAGE_FOLDER.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def load_unfinished(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state of a run with this fingerprint that was interrupted, if there is one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state if state["fingerprint"] == fingerprint and not state["finished"] else None
