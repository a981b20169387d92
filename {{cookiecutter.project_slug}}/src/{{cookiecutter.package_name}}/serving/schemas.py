"""What the API takes and gives. The predictions are written by predict.py in this form."""

from typing import Any

from pydantic import BaseModel, Field

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

    id: str = Field(description="Also the header X-Request-ID; feedback refers to it")
    label: str
    class_index: int
    probabilities: list[ClassProbability]
    model: ModelReference
    latency_ms: Latency


class Feedback(BaseModel):
    """What a picture really shows."""

    prediction_id: str = Field(pattern="^[0-9a-f]{32}$", examples=["0" * 32])
    label: str = Field(description="The true class", max_length=200)


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

    type: str = "about:blank"
    title: str
    status: int
    detail: str
