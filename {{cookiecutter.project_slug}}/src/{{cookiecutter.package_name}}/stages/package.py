"""Stage of deploy/torchserve/dvc.yaml: the model as an archive for TorchServe.

An archive is a zip file with a manifest. It is written here and not by torch-model-archiver, so
that the same model gives the same bytes, which is what DVC compares.
"""

import json
import zipfile
from pathlib import Path

from ..metadata import METADATA_FILE
from ..paths import BEST_MODEL, MODEL
from ._main import run

ARCHIVE = Path("deploy/torchserve/store/model.mar")
FILES = (BEST_MODEL, MODEL / METADATA_FILE)
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold


def main() -> None:
    handler = f"{__package__.rpartition('.')[0]}.serving.torchserve"
    manifest = {
        "archiverVersion": "0.12.0",
        "runtime": "python",
        "model": {"modelName": "model", "modelVersion": "1.0", "handler": handler},
    }
    ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for file in FILES:
            archive.writestr(zipfile.ZipInfo(file.name, LONG_AGO), file.read_bytes())
        archive.writestr(
            zipfile.ZipInfo("MAR-INF/MANIFEST.json", LONG_AGO), json.dumps(manifest, indent=2)
        )
    print(f"{ARCHIVE} written")


if __name__ == "__main__":
    run(main)
