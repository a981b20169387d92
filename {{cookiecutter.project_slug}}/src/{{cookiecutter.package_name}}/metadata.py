"""`model/metadata.json`: all that a server, or a reader, has to know about an exported model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .files import read_json, write_json
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
        write_json(folder / METADATA_FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "ModelMetadata":
        fields = read_json(folder / METADATA_FILE)
        fields["classes"] = tuple(fields["classes"])
        fields["image"] = ImageSpec(**fields["image"])
        return cls(**fields)
