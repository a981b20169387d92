"""What differs between deployments, from environment variables (`MODEL_DIR=/models/7 …`)."""

import os
from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


def num_cores() -> int:
    """Cores that this process may use; fewer than the machine has when it is pinned to some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """The service's settings. The variable's name is the field's, in capitals.

    environment: `development` lets everybody in; `production` wants API keys.
    num_workers: processes, each with a copy of the model. num_threads: of one inference.
    max_queue_size: requests that a worker has taken and not answered; beyond it, 503.
    keep_images: whether pictures are stored, always or where a request has `?keep_image=true`.
    retention_days: after which stored predictions are deleted; 0 keeps them for ever.
    """

    model_config = SettingsConfigDict(frozen=True)

    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = 8000

    model_dir: Path = Path("model")
    model_poll_seconds: PositiveFloat = 2.0
    num_workers: PositiveInt = min(num_cores(), 8)
    num_threads: PositiveInt = max(1, num_cores() // 8)

    max_batch_size: PositiveInt = 16
    max_queue_size: PositiveInt = 256
    request_timeout_seconds: PositiveFloat = 10.0
    max_body_bytes: PositiveInt = 10_000_000
    max_pixels: PositiveInt = 40_000_000

    api_keys_file: Path = Path("api-keys.json")

    database_url: str = "sqlite:///predictions.db"
    keep_images: Literal["never", "asked", "always"] = "asked"
    retention_days: int = 90
    max_buffered_bytes: PositiveInt = 64_000_000
