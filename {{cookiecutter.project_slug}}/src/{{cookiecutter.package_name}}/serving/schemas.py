"""What the API takes and gives. The predictions are written by predict.py in this form."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..metadata import ModelMetadata
from ..preprocess import ImageSpec


class ClassProbability(BaseModel):
    """One class, and how probable the model finds it."""

    label: str
    probability: float = Field(ge=0, le=1)


class ModelReference(BaseModel):
    """Which model gave an answer."""

    name: str
    sha256: str


class Latency(BaseModel):
    """Where the time of one request went, in milliseconds; `total` includes the upload."""

    decode: float
    queue: float
    inference: float
    total: float


class Prediction(BaseModel):
    """The answer to `POST /v1/predict`; `probabilities` has every class, the likeliest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "019aa5b0c7d87f3e9c4b1d2e3f405162",
                "label": "3",
                "class_index": 3,
                "probabilities": [
                    {"label": "3", "probability": 0.98},
                    {"label": "8", "probability": 0.02},
                ],
                "model": {"name": "cnn", "sha256": "0" * 64},
                "latency_ms": {"decode": 0.1, "queue": 0.02, "inference": 0.2, "total": 0.5},
            }
        }
    )

    id: str = Field(description="Also the header X-Request-ID; feedback refers to it")
    label: str
    class_index: int
    probabilities: list[ClassProbability]
    model: ModelReference
    latency_ms: Latency


class Feedback(BaseModel):
    """What a picture really shows."""

    prediction_id: str = Field(pattern="^[0-9a-f]{32}$", examples=["0" * 32])
    label: str = Field(description="The true class", max_length=200, examples=["5"])


class Sample(BaseModel):
    """A picture of the test set, as base64 of a PNG file, and its true class."""

    label: str
    png: str


class ModelInfo(BaseModel):
    """The model that is being served, with the metrics of its evaluation."""

    name: str
    sha256: str
    classes: tuple[str, ...]
    image: ImageSpec
    created: str
    commit: str
    data_hash: str
    hardware: str
    metrics: dict[str, Any]

    @classmethod
    def of(cls, metadata: ModelMetadata) -> "ModelInfo":
        return cls(
            name=metadata.model,
            sha256=metadata.sha256,
            classes=metadata.classes,
            image=metadata.image,
            created=metadata.created,
            commit=metadata.commit,
            data_hash=metadata.data_hash,
            hardware=metadata.hardware,
            metrics=metadata.metrics,
        )


class Status(BaseModel):
    """The answer of the health checks, and of whatever else has nothing more to say."""

    status: str


class Problem(BaseModel):
    """An error as RFC 9457 has it; `detail` is one sentence for the client."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "there is no picture in the request",
            }
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
