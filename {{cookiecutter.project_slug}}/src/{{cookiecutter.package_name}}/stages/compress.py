"""Stage 4: write `checkpoints/served/`: the trained model, or what `compress` makes of it.

On SIGTERM it saves its state and exits with code 143; the same command then continues.
"""

import shutil
import sys

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
        from ..training.interruption import EXIT_CODE, MESSAGE, TrainingStoppedError

        try:
            compress(config)
        except TrainingStoppedError:
            print(MESSAGE)
            sys.exit(EXIT_CODE)


if __name__ == "__main__":
    run_main(main)
