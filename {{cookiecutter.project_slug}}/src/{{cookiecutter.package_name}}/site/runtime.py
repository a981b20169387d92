"""ONNX Runtime Web from npm: a pinned version, checked by its hash, and of it what a site needs."""

import os
import shutil
import tarfile
from pathlib import Path

from ..data.download import download
from ..paths import BUILD

VERSION = "1.22.0"  # later ones are larger
SHA256 = "e293551f9d36d003e293d0f2937fee7b3dfdcef76d71d1449b55e2d4157c7aea"
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)


def write_runtime(folder: Path) -> None:
    """Write the runtime's files to `folder`; it is downloaded once, to `build/`.

    The registry is npm's own, or the one that npm's variable `NPM_CONFIG_REGISTRY` names.

    Raises:
        DownloadError: the registry does not answer, or the package is not the one expected.
    """
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or "https://registry.npmjs.org"
    name = f"onnxruntime-web-{VERSION}.tgz"
    package = BUILD / "downloads" / name
    download(f"{registry.rstrip('/')}/onnxruntime-web/-/{name}", package, SHA256)
    folder.mkdir(parents=True)
    with tarfile.open(package) as archive:
        for file in FILES:
            source = archive.extractfile(f"package/dist/{file}")
            assert source is not None  # the hash is right, so it is there
            with source, (folder / file).open("wb") as target:
                shutil.copyfileobj(source, target)
