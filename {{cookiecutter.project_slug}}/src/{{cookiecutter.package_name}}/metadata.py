"""`model/metadata.json`: all that a server, or a reader, has to know about an exported model."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .preprocess import ImageSpec

MODEL_FILE = "model.onnx"
METADATA_FILE = "metadata.json"
SAMPLES_FILE = "samples.npz"


@dataclass(frozen=True)
class ModelMetadata:
    """Where an ONNX file comes from and how to feed it.

    The file takes `pixels` uint8 (N, C, H, W) as `decode_image` makes them and gives `logits`
    float32 (N, num_classes); scaling and normalisation are part of the graph. sha256: of the ONNX
    file. commit: of the code that trained it, with `-dirty` behind it if that was not all
    committed. created: ISO 8601, UTC. metrics: as in `metrics/evaluation.json`.
    """

    model: str
    classes: tuple[str, ...]
    image: ImageSpec
    sha256: str
    commit: str
    data_hash: str
    created: str
    hardware: str
    params: dict[str, Any]
    metrics: dict[str, Any]

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        (folder / METADATA_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ModelMetadata":
        fields: dict[str, Any] = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
        fields["classes"] = tuple(fields["classes"])
        fields["image"] = ImageSpec(**fields["image"])
        return cls(**fields)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
