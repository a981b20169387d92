"""`make predict`: classify the images of a folder into a CSV file, by the service's predictor.

Run again after an interruption, it goes on where it stopped.
"""

import argparse
import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..data.image_folder import is_image
from ..errors import UserError
from ..preprocess import ImageError, ImageSpec, decode_image
from ..stages._main import run_main
from .images import Pixels
from .predictor import Predictor
from .settings import Settings, num_cores

COLUMNS = ("file", "label", "confidence", "model", "error")
BATCH_SIZE = 64


def predict_folder(folder: Path, output: Path, predictor: Predictor) -> tuple[int, int]:
    """Append a row to `output` for each image below `folder` that has none yet.

    Returns:
        How many rows there are, and how many of them are of broken images.

    Raises:
        UserError: the rows that are there were written for another model.
    """
    classes, model = predictor.metadata.classes, predictor.metadata.sha256[:12]
    spec = predictor.metadata.image
    output.touch()
    with output.open("rb+") as file:  # without a last line that a kill has cut off
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
    # surrogateescape: on Linux, the name of a file may be any bytes
    with (
        output.open("r+", encoding="utf-8", errors="surrogateescape", newline="") as table,
        ThreadPoolExecutor() as threads,
    ):
        is_broken = {}
        for row in csv.DictReader(table):
            is_broken[row["file"]] = bool(row["error"])
            if row["model"] != model:
                raise UserError(f"{output} has predictions of another model: choose another file")
        images = (file for file in folder.rglob("*") if is_image(file))
        left = sorted({file.relative_to(folder).as_posix() for file in images} - is_broken.keys())
        writer = csv.writer(table, lineterminator="\n")
        if not is_broken:
            writer.writerow(COLUMNS)
        for start in tqdm(range(0, len(left), BATCH_SIZE), unit=f" x {BATCH_SIZE} images"):
            batch = left[start : start + BATCH_SIZE]
            decoded = list(threads.map(lambda name: _decode(folder / name, spec), batch))
            probabilities = predictor.predict(np.stack([pixels for pixels, _ in decoded]))
            for name, (_, error), row in zip(batch, decoded, probabilities, strict=True):
                label, confidence = classes[row.argmax()], f"{row.max():.6f}"
                said = ("", "") if error else (label, confidence)
                writer.writerow((name, *said, model, error))
                is_broken[name] = bool(error)
            table.flush()
    return len(is_broken), sum(is_broken.values())


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
    predictor = Predictor.load(Settings().model_dir, num_cores())
    num_images, num_broken = predict_folder(arguments.folder, arguments.output, predictor)
    print(f"{arguments.output}: {num_images:,} images, of which {num_broken:,} are broken")


if __name__ == "__main__":
    run_main(main)
