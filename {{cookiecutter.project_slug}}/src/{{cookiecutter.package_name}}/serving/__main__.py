"""Run the service: `python -m <package>.serving`. The environment has the settings."""

import os
import tempfile

import uvicorn

from .logs import LOG_CONFIG
from .settings import Settings


def main() -> None:
    """Start the workers and stay until SIGTERM; then finish what is in flight."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the workers add up their metrics
        uvicorn.run(
            f"{__package__}.app:app",
            host=settings.host,
            port=settings.port,
            workers=settings.num_workers,
            log_config=LOG_CONFIG,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=30,
        )


if __name__ == "__main__":
    main()
