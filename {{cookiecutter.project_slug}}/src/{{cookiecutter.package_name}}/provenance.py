"""Where a result comes from: which code, which machine."""

import os
import platform
import subprocess
from pathlib import Path

import torch

CODE = ("src", "params.yaml", "dvc.yaml", "pyproject.toml")  # what decides a model


def current_commit() -> str:
    """The commit that is checked out, with `-dirty` behind it if `CODE` differs from it.

    `unknown` outside a Git repository.
    """
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-dirty" if _git("status", "--porcelain", "--", *CODE) else commit


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no commit yet
        return ""
    return result.stdout.strip()


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
