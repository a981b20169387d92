"""What differs between deployments, from environment variables (`MODEL_DIR=/models/7 …`)."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..cores import num_cores


class Settings(BaseSettings):
    """The service's settings. The variable's name is the field's, in capitals."""

    # The docstring below a field explains it.
    model_config = SettingsConfigDict(frozen=True, use_attribute_docstrings=True)

    environment: Literal["development", "production"] = "development"
    """`development` lets everybody in; `production` wants API keys."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every address of the machine."""
    port: int = 8000
    """TCP port to listen on."""

    model_dir: Path = Path("model")
    """Folder that `export` has written."""
    model_poll_seconds: PositiveFloat = 2.0
    """Time between two looks for a model, until one is loaded."""
    num_workers: PositiveInt = min(num_cores(), 8)
    """Processes, each with a copy of the model."""
    num_threads: PositiveInt = max(1, num_cores() // 8)
    """Threads of one inference."""
    shared_folder: Path | None = None
    """What several workers share; the process that starts them sets it."""

    max_batch_size: PositiveInt = 16
    """Images that go through the model together."""
    max_queue_size: PositiveInt = 256
    """Images that wait for a prediction in a worker; beyond it, 503."""
    request_timeout_seconds: PositiveFloat = 10.0
    """Time for the body to arrive, and again for the prediction."""
    max_body_bytes: PositiveInt = 10_000_000
    """Size of one body; beyond it, 413."""
    max_total_body_bytes: PositiveInt = 64_000_000
    """Size of all bodies that a worker holds; beyond it, 503."""
    max_pixels: PositiveInt = 16_000_000
    """Pixels of an image; decoding one takes about 20 bytes for each, at most."""

    api_keys_file: Path = Path("api-keys.json")
    """JSON file that `serving.keys` writes; it holds hashes only."""

    database_url: str = "sqlite:///predictions.db"
    """Where predictions and feedback are stored, as an SQLAlchemy URL."""
    keep_images: Literal["never", "asked", "always"] = "asked"
    """Whether images are stored; `asked`: if the request has `?keep_image=true`."""
    retention_days: NonNegativeInt = 90
    """Days after which stored predictions are deleted; 0 keeps them for ever."""
    max_buffered_bytes: PositiveInt = 64_000_000
    """Size of the rows that wait for the database; more are dropped and counted."""
