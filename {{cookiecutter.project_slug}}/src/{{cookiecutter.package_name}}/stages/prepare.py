"""Stage 2: decode, resize and split the pictures into `data/prepared/`, and write the data card."""

from ..config import load_config
from ..data.prepare import prepare
from ..data.sources import READERS
from ..evaluation.cards import data_card
from ..files import write_text
from ..paths import DOCS, PREPARED, RAW
from ._main import run

NUM_SHOWN = 10


def main() -> None:
    config = load_config()
    name = config.fetch.dataset
    info = prepare(READERS[name](RAW), name, config.prepare, PREPARED)
    write_text(DOCS / "data-card.md", data_card(info))
    if info.skipped:
        print(f"{len(info.skipped)} pictures could not be used and were skipped:")
        for file, reason in info.skipped[:NUM_SHOWN]:
            print(f"  {file}: {reason}")


if __name__ == "__main__":
    run(main)
