"""Stage of deploy/torchserve/dvc.yaml: pack the model into an archive for TorchServe.

An archive is a zip file with a manifest. It is not written by torch-model-archiver, whose file has
the time in it: here the same model gives the same bytes, which is what DVC compares.
"""

import json
import zipfile
from pathlib import Path

from ..config import load_config
from ..errors import UserError
from ..metadata import METADATA_FILE
from ..paths import MODEL, SERVED_MODEL
from ._main import run_main

ARCHIVE = Path("deploy/torchserve/store/model.mar")
FILES = (SERVED_MODEL, MODEL / METADATA_FILE)
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold


def main() -> None:
    if load_config().compress.int8:
        raise UserError(
            "compress.int8 = true: TorchServe runs the PyTorch network, so it must be false"
        )
    handler = f"{__package__.rpartition('.')[0]}.serving.torchserve"
    manifest = {
        "archiverVersion": "0.12.0",
        "runtime": "python",
        "model": {"modelName": "model", "modelVersion": "1.0", "handler": handler},
    }
    ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for file in FILES:
            archive.writestr(zipfile.ZipInfo(file.name, ZIP_EPOCH), file.read_bytes())
        archive.writestr(
            zipfile.ZipInfo("MAR-INF/MANIFEST.json", ZIP_EPOCH), json.dumps(manifest, indent=2)
        )
    print(f"{ARCHIVE} written")


if __name__ == "__main__":
    run_main(main)
