"""Stage 2: decode, resize and split the images into `data/prepared/`."""

from ..config import load_config
from ..data.prepare import prepare
from ..data.sources import READERS
from ..paths import PREPARED, RAW
from ._main import run_main

NUM_SHOWN = 10


def main() -> None:
    config = load_config()
    name = config.fetch.dataset
    info = prepare(READERS[name](RAW), name, config.prepare, PREPARED)
    if info.skipped:
        print(f"{len(info.skipped)} images could not be used and were skipped:")
        for file, reason in info.skipped[:NUM_SHOWN]:
            print(f"  {file}: {reason}")


if __name__ == "__main__":
    run_main(main)
