"""Stage 4: write `checkpoints/served/`: the trained model, or what `compress` makes of it."""

import shutil

from ..config import load_config
from ..paths import BEST_MODEL, SERVED_MODEL
from ._main import run_main


def main() -> None:
    config = load_config()
    shutil.rmtree(SERVED_MODEL.parent, ignore_errors=True)
    SERVED_MODEL.parent.mkdir(parents=True)
    shutil.copyfile(BEST_MODEL, SERVED_MODEL)
    if config.compress.methods:
        from ..compression import compress  # brings PyTorch and the quantizer

        compress(config)


if __name__ == "__main__":
    run_main(main)
