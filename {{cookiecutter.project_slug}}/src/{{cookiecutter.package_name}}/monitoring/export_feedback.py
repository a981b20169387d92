"""`make export-feedback`: the images with corrected labels, and a sheet to look through them."""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..data.image_folder import folder_name
from ..errors import UserError
from ..files import fresh_folder, reading, write_json, write_text
from ..paths import FEEDBACK_EXPORT
from ..reporting.render import render
from ..serving.records import connect, labelled_images
from ..serving.settings import Settings
from ..stages._main import run_main

SUFFIXES = {b"\x89PNG": ".png", b"RIFF": ".webp"}
LIST = "feedback.json"


@dataclass(frozen=True)
class Correction:
    """One image with feedback.

    Attributes:
        file: in the folder of the export, `<corrected label>/<id of the prediction>.<suffix>`.
        predicted, confidence: what the model said, and with which probability.
        label: what the user said. api_key: whose key it was, None in development.
    """

    id: str
    file: str
    predicted: str
    confidence: float
    label: str
    api_key: str | None


def export_feedback(database_url: str, folder: Path) -> list[Correction]:
    """Write every kept image with feedback to `folder`, which is emptied before.

    Of several labels for one image, the last counts.

    Raises:
        UserError: `folder` has something else than an earlier export.
    """
    if folder.exists() and not (folder / LIST).exists() and any(folder.iterdir()):
        raise UserError(f"{folder} has files that are no exported feedback: choose another folder")
    with fresh_folder(folder) as scratch:
        return _write(database_url, scratch)


def _write(database_url: str, folder: Path) -> list[Correction]:
    corrections = []
    for row in labelled_images(connect(database_url)):
        suffix = SUFFIXES.get(row.image[:4], ".jpg")
        file = Path(folder_name(row.label), f"{row.id}{suffix}")
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(row.image)
        confidence = max(row.probabilities)
        corrections.append(
            Correction(row.id, file.as_posix(), row.predicted, confidence, row.label, row.api_key)
        )
    write_json(folder / LIST, [asdict(correction) for correction in corrections])
    write_text(folder / "index.html", render("feedback.html", corrections=corrections))
    return corrections


def read_corrections(folder: Path) -> list[Correction]:
    """Read what `export_feedback` has listed.

    Raises:
        BrokenFileError: it is something else.
    """
    with reading(folder / LIST):
        rows = json.loads((folder / LIST).read_text(encoding="utf-8"))
        return [Correction(**row) for row in rows]


def main() -> None:
    """Export the feedback of the database that `DATABASE_URL` names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FEEDBACK_EXPORT)
    folder = parser.parse_args().folder
    corrections = export_feedback(Settings().database_url, folder)
    print(f"{len(corrections)} images with feedback: look through {folder / 'index.html'}, then")
    print('`make accept-feedback`, with EXCEPT="<id> <id>" for those that are wrong')


if __name__ == "__main__":
    run_main(main)
