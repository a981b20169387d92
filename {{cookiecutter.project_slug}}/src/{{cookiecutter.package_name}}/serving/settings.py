"""What differs between deployments, from environment variables (`MODEL_DIR=/models/7 …`)."""

import os
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


def num_cores() -> int:
    """Cores that this process may use; fewer than the machine has when it is pinned to some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """The service's settings. The variable's name is the field's, in capitals.

    model_dir: folder with `model.onnx` and `metadata.json`. model_poll_seconds: how often to look
    for a model while there is none. num_threads: of one inference.
    """

    model_config = SettingsConfigDict(frozen=True)

    model_dir: Path = Path("model")
    model_poll_seconds: PositiveFloat = 2.0
    num_threads: PositiveInt = num_cores()
    max_body_bytes: PositiveInt = 10_000_000
    max_pixels: PositiveInt = 40_000_000
