"""Where a result comes from: which code, which machine."""

import os
import platform
from pathlib import Path

import torch

from .git import git

CODE = ("src", "params.yaml", "dvc.yaml", "pyproject.toml")  # what decides a model


def current_commit() -> str:
    """The commit that is checked out, with `-dirty` behind it if `CODE` differs from it.

    `unknown` outside a Git repository.
    """
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    changed = git("status", "--porcelain", "--", *CODE)
    return commit.strip() + ("-dirty" if changed else "")


def describe_hardware(device: torch.device) -> str:
    """The device in words, as in `AMD EPYC 7B13, 2 cores`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor_name()}, {os.cpu_count()} cores"


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
