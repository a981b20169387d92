"""`make predict`: classify the images of a folder into a CSV file, by the service's predictor.

It uses all cores, or a Dask cluster. Run again after an interruption, it goes on where it stopped.
"""

import argparse
import csv
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..data.image_folder import is_image
from ..errors import UserError
from ..parallel import map_chunks
from ..preprocess import ImageError, ImageSpec, decode_image
from ..stages._main import run_main
from .decoder import Pixels
from .predictor import Predictor
from .settings import Settings

COLUMNS = ("file", "label", "confidence", "model", "error")
HEADER = ",".join(COLUMNS).encode() + b"\n"
BATCH_SIZE = 64

Row = tuple[str, str, str, str, str]


def predict_folder(folder: Path, output: Path, model_dir: Path) -> tuple[int, int]:
    """Append a row to `output` for each image below `folder` that has none yet.

    Returns:
        How many rows there are, and how many of them are of broken images.

    Raises:
        UserError: the rows that are there were written for another model, or by something else.
    """
    sha256 = Predictor.load(model_dir, 1).metadata.sha256
    output.touch()
    with output.open("rb+") as file:  # without a last line that a kill has cut off
        if not HEADER.startswith(file.readline()):
            raise UserError(f"{output} is not from this command: choose another file")
        file.seek(0)
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
    # surrogateescape: on Linux, the name of a file may be any bytes
    with output.open("r+", encoding="utf-8", errors="surrogateescape", newline="") as table:
        is_broken = {}
        for row in csv.DictReader(table):
            is_broken[row["file"]] = bool(row["error"])
            if row["model"] != sha256[:12]:
                raise UserError(f"{output} has predictions of another model: choose another file")
        images = (file for file in folder.rglob("*") if is_image(file.name) and file.is_file())
        left = sorted({file.relative_to(folder).as_posix() for file in images} - is_broken.keys())
        writer = csv.writer(table, lineterminator="\n")
        if not is_broken:
            writer.writerow(COLUMNS)
        predict = partial(_predict, folder=folder.resolve(), model=(model_dir.resolve(), sha256))
        with tqdm(total=len(left), unit="image", disable=None) as progress:
            for rows in map_chunks(predict, left, BATCH_SIZE):
                writer.writerows(rows)
                table.flush()
                is_broken.update((name, bool(error)) for name, *_, error in rows)
                progress.update(len(rows))
    return len(is_broken), sum(is_broken.values())


def _predict(names: Sequence[str], folder: Path, model: tuple[Path, str]) -> list[Row]:
    """Return the rows of some images."""
    predictor = _load(*model)
    classes, sha256 = predictor.metadata.classes, predictor.metadata.sha256[:12]
    decoded = [_decode(folder / name, predictor.metadata.image) for name in names]
    probabilities = predictor.predict(np.stack([pixels for pixels, _ in decoded]))
    rows = []
    for name, (_, error), row in zip(names, decoded, probabilities, strict=True):
        said = ("", "") if error else (classes[row.argmax()], f"{row.max():.6f}")
        rows.append((name, *said, sha256, error))
    return rows


@cache
def _load(model_dir: Path, sha256: str) -> Predictor:
    """Load a model once in each process, with one thread: there is a process for each core."""
    predictor = Predictor.load(model_dir, 1)
    if predictor.metadata.sha256 != sha256:
        raise UserError(f"another model has come into {model_dir}: run the command again")
    return predictor


def _decode(file: Path, spec: ImageSpec) -> tuple[Pixels, str]:
    """The pixels, or zeros and why the image cannot be used."""
    try:
        return decode_image(file.read_bytes(), spec), ""
    except (ImageError, OSError) as error:
        return np.zeros(spec.shape, np.uint8), str(error)


def main() -> None:
    """Classify the PNG, JPEG and WebP files of a folder and of those in it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path, help="a CSV file")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        raise UserError(f"INPUT has to be a folder of images, not {str(arguments.folder)!r}")
    if arguments.output.suffix != ".csv":
        raise UserError(f"OUTPUT has to be a .csv file, not {str(arguments.output)!r}")
    model_dir = Settings().model_dir
    num_images, num_broken = predict_folder(arguments.folder, arguments.output, model_dir)
    print(f"{arguments.output}: {num_images:,} images, of which {num_broken:,} are broken")


if __name__ == "__main__":
    run_main(main)
