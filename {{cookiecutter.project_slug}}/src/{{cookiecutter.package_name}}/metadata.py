"""`model/metadata.json`: what a server, or a reader, has to know about an exported model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .files import read_json, reading, write_json
from .preprocess import ImageSpec

MODEL_FILE = "model.onnx"
METADATA_FILE = "metadata.json"
SAMPLES_FILE = "samples.npz"


def temperature_of(metrics: dict[str, Any]) -> float:
    """Return what the logits are divided by, from `metrics/evaluation.json`; 1 is unscaled."""
    return float(metrics.get("temperature_scaling", {"temperature": 1.0})["temperature"])


@dataclass(frozen=True)
class ModelMetadata:
    """Where an ONNX file comes from and how to feed it.

    The file takes `pixels` uint8 (N, C, H, W), as `decode_image` returns them, and outputs `logits`
    float32 (N, num_classes). Scaling and normalisation are part of the graph.

    Attributes:
        model: the architecture, as in `params.yaml: model.name`.
        sha256: of the ONNX file.
        commit: of the code that trained it, with `-dirty` behind it if not all was committed.
        data_hash: `DatasetInfo.content_hash` of the data it was trained on.
        created: ISO 8601, UTC.
        hardware: what it was trained on.
        metrics: as in `metrics/evaluation.json`.
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
        """Read the file that `save` wrote.

        Raises:
            BrokenFileError: it is not what `save` wrote.
        """
        fields = read_json(folder / METADATA_FILE)
        with reading(folder / METADATA_FILE):
            fields["classes"] = tuple(fields["classes"])
            fields["image"] = ImageSpec(**fields["image"])
            return cls(**fields)
