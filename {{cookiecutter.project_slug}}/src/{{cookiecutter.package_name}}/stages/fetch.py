"""Stage 1: bring the data set's files to `data/raw/`."""

from ..config import load_config
from ..data.fetch import fetch
from ..paths import RAW
from ._main import run_main


def main() -> None:
    config = load_config().fetch
    fetch(config.dataset, config.base_url, RAW)


if __name__ == "__main__":
    run_main(main)
