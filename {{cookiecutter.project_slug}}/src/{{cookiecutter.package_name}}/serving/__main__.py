"""Run the service: `python -m <package>.serving`. The environment has the settings."""

import os
import sys
import tempfile

import uvicorn
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError

from .logs import LOG_CONFIG
from .protocol import LimitedHttpProtocol
from .records import connect
from .settings import Settings

GRACE_SECONDS = 30  # for what is in flight at SIGTERM


def main() -> None:
    """Serve until SIGTERM; then finish what is in flight."""
    settings = check_settings()
    if settings.num_workers == 1:
        serve(settings)
        return
    with tempfile.TemporaryDirectory() as folder:  # what the workers share
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ["SHARED_FOLDER"] = folder
        serve(settings)


def check_settings() -> Settings:
    """The settings; what is wrong with them is said once, in one sentence, and ends the program."""
    try:
        settings = Settings()
        connect(settings.database_url).dispose()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        sys.exit(f"error: {name}={first['input']}: {first['msg']}")
    except (ArgumentError, ImportError) as error:
        sys.exit(f"error: DATABASE_URL cannot be used: {error}")
    return settings


def serve(settings: Settings) -> None:
    """Run uvicorn, which starts as many workers as wanted and replaces one that dies."""
    uvicorn.run(
        f"{__package__}.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.num_workers,
        http=LimitedHttpProtocol,
        ws="none",  # a request to switch to WebSocket is answered as any other
        log_config=LOG_CONFIG,
        access_log=False,  # middleware.py writes a richer one
        proxy_headers=False,  # nothing here asks who the client is
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


if __name__ == "__main__":
    main()
