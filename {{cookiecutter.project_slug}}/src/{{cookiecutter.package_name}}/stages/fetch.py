"""Stage 1: bring the data set's files to `data/raw/`."""

from pathlib import Path

from ..config import load_config
from ..data.sources import fetch
from ._main import run


def main() -> None:
    config = load_config().fetch
    fetch(config.dataset, config.base_url, Path("data/raw"))


if __name__ == "__main__":
    run(main)
