"""Feedback as an image folder, which the pipeline takes in as new data.

python -m <package>.monitoring.export_feedback FOLDER
"""

import argparse
import sys
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ..serving.records import connect, labelled_images
from ..serving.settings import Settings

SUFFIXES = {b"\x89PNG": ".png", b"RIFF": ".webp"}


def export_feedback(database_url: str, folder: Path) -> int:
    """Write every kept image with feedback to `folder/<true label>/<prediction id>`.

    Returns:
        The number of images. Exporting again overwrites the same files.
    """
    number = 0
    for prediction_id, label, image in labelled_images(connect(database_url)):
        suffix = SUFFIXES.get(image[:4], ".jpg")
        file = folder / label.replace("/", "-") / f"{prediction_id}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image)
        number += 1
    return number


def main() -> None:
    """Export the feedback of the database that `DATABASE_URL` names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/feedback"))
    folder = parser.parse_args().folder
    try:
        number = export_feedback(Settings().database_url, folder)
    except SQLAlchemyError as error:
        sys.exit(f"error: the database cannot be read: {error}")
    print(f"{number} images with feedback are in {folder}")


if __name__ == "__main__":
    main()
