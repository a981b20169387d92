"""Feedback as an image folder, which the pipeline takes in as new data.

python -m <package>.serving.feedback FOLDER
"""

import argparse
import sys
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from .settings import Settings
from .store import connect, labelled_images

SUFFIXES = {b"\x89PNG": ".png", b"RIFF": ".webp"}


def export_feedback(database_url: str, folder: Path) -> int:
    """Write every kept picture with feedback to `folder/<true label>/<prediction id>`.

    Gives their number. What was exported before is written again, as the same files.
    """
    number = 0
    for prediction_id, label, picture in labelled_images(connect(database_url)):
        suffix = SUFFIXES.get(picture[:4], ".jpg")
        file = folder / label.replace("/", "-") / f"{prediction_id}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)
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
    print(f"{number} pictures with feedback are in {folder}")


if __name__ == "__main__":
    main()
