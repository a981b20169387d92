"""`make accept-feedback`: exported feedback becomes data that the pipeline reads, under DVC."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from ..data.dataset import load_info
from ..data.image_folder import folder_name
from ..errors import UserError
from ..paths import FEEDBACK, FEEDBACK_EXPORT, PREPARED
from ..stages._main import run_main
from .export_feedback import LIST, read_corrections


def accept_feedback(
    export: Path, target: Path, classes: tuple[str, ...], left_out: set[str]
) -> int:
    """Copy exported images to `target`, one folder for each class, except those in `left_out`.

    A correction replaces an earlier one of the same prediction.

    Returns:
        How many there are now.

    Raises:
        UserError: nothing is exported, an id in `left_out` is in no correction, or a label is no
            class.
    """
    if not (export / LIST).exists():
        raise UserError(f"{export / LIST} not found: run `make export-feedback` first")
    corrections = read_corrections(export)
    if unknown := left_out - {correction.id for correction in corrections}:
        raise UserError(f"{' '.join(sorted(unknown))}: {export / LIST} has no such id")
    for correction in corrections:
        if correction.label not in classes:
            raise UserError(f"{correction.file}: {correction.label!r} is no class of the data set")
    for correction in corrections:
        for earlier in target.glob(f"*/{correction.id}.*"):
            earlier.unlink()
        if correction.id not in left_out:
            folder = target / folder_name(correction.label)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(export / correction.file, folder / Path(correction.file).name)
    return sum(1 for _ in target.glob("*/*"))


def main() -> None:
    """Accept the exported feedback as data."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--except", nargs="*", default=[], metavar="ID", dest="left_out")
    left_out = set(parser.parse_args().left_out)
    classes = load_info(PREPARED).classes
    count = accept_feedback(FEEDBACK_EXPORT, FEEDBACK, classes, left_out)
    if count:
        subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", FEEDBACK], check=True)
    print(f"{FEEDBACK} holds {count} images: commit {FEEDBACK}.dvc, then `make repro`")


if __name__ == "__main__":
    run_main(main)
