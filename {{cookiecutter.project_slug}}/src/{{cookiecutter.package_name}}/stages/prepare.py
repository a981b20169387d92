"""Stage 2: decode, resize and split the images into `data/prepared/`."""

from ..config import load_config
from ..data.image_folder import LINK, add_feedback
from ..data.prepare import prepare
from ..data.sources import READERS
from ..paths import FEEDBACK, PREPARED, RAW
from ._main import run_main

NUM_SHOWN = 10


def main() -> None:
    config = load_config()
    name = config.fetch.dataset
    raw = add_feedback(READERS[name](RAW), FEEDBACK)
    info = prepare(raw, name, config.prepare, PREPARED)
    if info.skipped:
        print(f"{len(info.skipped)} images could not be used and were skipped:")
        for file, reason in info.skipped[:NUM_SHOWN]:
            print(f"  {file}: {reason}")
    if info.num_copies:
        print(f"{info.num_copies} copies of other images were left out")
    for kind, count in info.ignored.items():
        what = f"convert files with the suffix {kind!r}" if kind != LINK else f"copy each {kind}"
        print(f"{count} files were left out: {what}, to be used")
    for split, counts in info.counts.items():
        if missing := [name for name, count in counts.items() if not count]:
            print(f"no image of {', '.join(missing)} is in the {split} split: add images")


if __name__ == "__main__":
    run_main(main)
