"""Where a result comes from: which code, which machine."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml

from .config import Config
from .data.dataset import DatasetInfo
from .files import sha256
from .git import git

PACKAGE = Path(__file__).parent
PIPELINE = PACKAGE.parents[1] / "dvc.yaml"
MODEL_STAGES = ("fetch", "prepare", "train", "compress", "export")
SETTINGS = ("params.yaml", "dvc.yaml", "pyproject.toml")


def code_of(*stages: str) -> Iterator[Path]:
    """Yield the modules that decide the result of these stages: those in their `deps`."""
    pipeline = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"]
    folder = "src/${package}/"
    for name in sorted({dep for stage in stages for dep in pipeline[stage]["deps"]}):
        if name.startswith(folder):
            path = PACKAGE / name.removeprefix(folder)
            yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def current_commit() -> str:
    """Return the commit that is checked out, or `unknown` outside a git repository.

    It ends in `-dirty` if a file that decides a model differs from the commit.
    """
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    changed = git("status", "--porcelain", "--", *SETTINGS, *map(str, code_of(*MODEL_STAGES)))
    return commit.strip() + ("-dirty" if changed else "")


def run_fingerprint(config: Config, info: DatasetInfo) -> str:
    """Hash what decides the result of training: a run is resumed only if this is unchanged."""
    settings = repr((config.model, config.train, info.content_hash, torch.__version__)).encode()
    return sha256([settings, *(file.read_bytes() for file in code_of("train"))])


def describe_hardware(device: torch.device) -> str:
    """Name the device, as in `AMD EPYC 7B13, 2 cores`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor_name()}, {os.cpu_count()} cores"


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
