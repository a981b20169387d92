"""Checkpoints: files that are either complete or absent, for the same code, data and settings."""

import io
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from ..config import ModelConfig
from ..data.dataset import DatasetInfo
from ..errors import UserError
from ..files import sha256, write_scratch
from ..models import build_model

PREVIOUS = "previous.pt"
DIGEST_SIZE = 64  # bytes: the hexadecimal digits of SHA-256


def _to_bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save_model(
    weights: dict[str, Tensor], config: ModelConfig, info: DatasetInfo, path: Path
) -> None:
    """Save a network's weights with all that `load_model` needs to build it again."""
    state = {"weights": weights, "config": asdict(config), "dataset": asdict(info)}
    write_scratch(path, _to_bytes(state)).replace(path)


def load_model(path: Path, device: torch.device) -> nn.Sequential:
    """The network that `save_model` saved, in evaluation mode.

    Raises:
        UserError: there is no such file; train first.
    """
    if not path.exists():
        raise UserError(f"{path} not found: train first, with `dvc repro train`")
    state = torch.load(path, map_location=device, weights_only=True)
    model = build_model(_config_of(state), DatasetInfo.from_dict(state["dataset"]))
    model.load_state_dict(state["weights"])
    return model.to(device).eval()


def load_model_config(path: Path) -> ModelConfig:
    """The architecture of the network that `save_model` saved."""
    return _config_of(torch.load(path, weights_only=True))


def _config_of(state: dict[str, Any]) -> ModelConfig:
    return TypeAdapter(ModelConfig).validate_python(state["config"])


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Save a training state with its SHA-256, and keep the one before it as `previous.pt`.

    A crash at any moment leaves at least one of the two whole.
    """
    content = _to_bytes(state)
    scratch = write_scratch(path, content + sha256([content]).encode())
    if path.exists():
        path.replace(path.with_name(PREVIOUS))
    scratch.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state that `save_checkpoint` wrote, or None if the file is not as it was written."""
    content = path.read_bytes()
    content, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
    if sha256([content]).encode() != digest:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def load_unfinished(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The newest undamaged state, if it is of an interrupted run with this fingerprint.

    A damaged file is skipped with a warning, and the one before it is used.
    """
    for candidate in (path, path.with_name(PREVIOUS)):
        if not candidate.exists():
            continue
        if state := load_checkpoint(candidate):
            resumable = state["fingerprint"] == fingerprint and not state["finished"]
            return state if resumable else None
        warnings.warn(f"{candidate} is damaged and not used", stacklevel=2)
    return None
