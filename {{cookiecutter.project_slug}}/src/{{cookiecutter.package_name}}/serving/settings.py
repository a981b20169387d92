"""What differs between deployments, from environment variables (`MODEL_DIR=/models/7 …`)."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..cores import num_cores


class Settings(BaseSettings):
    """The service's settings. The variable's name is the field's, in capitals.

    environment: `development` lets everybody in; `production` wants API keys.
    num_workers: processes, each with a copy of the model. num_threads: of one inference.
    shared_folder: of several workers; the process that starts them sets it.
    max_queue_size: images that wait for a prediction in a worker; beyond it, 503.
    request_timeout_seconds: for the body to arrive, and again for the prediction.
    max_total_body_bytes: of all bodies that a worker holds; beyond it, 503.
    max_pixels: of an image; decoding one takes about 20 bytes for each, at most.
    keep_images: whether images are stored: always, or if a request has `?keep_image=true`.
    retention_days: after which stored predictions are deleted; 0 keeps them for ever.
    max_buffered_bytes: of rows that wait for the database; more are dropped and counted.
    """

    model_config = SettingsConfigDict(frozen=True)

    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = 8000

    model_dir: Path = Path("model")
    model_poll_seconds: PositiveFloat = 2.0
    num_workers: PositiveInt = min(num_cores(), 8)
    num_threads: PositiveInt = max(1, num_cores() // 8)
    shared_folder: Path | None = None

    max_batch_size: PositiveInt = 16
    max_queue_size: PositiveInt = 256
    request_timeout_seconds: PositiveFloat = 10.0
    max_body_bytes: PositiveInt = 10_000_000
    max_total_body_bytes: PositiveInt = 64_000_000
    max_pixels: PositiveInt = 16_000_000

    api_keys_file: Path = Path("api-keys.json")

    database_url: str = "sqlite:///predictions.db"
    keep_images: Literal["never", "asked", "always"] = "asked"
    retention_days: NonNegativeInt = 90
    max_buffered_bytes: PositiveInt = 64_000_000
