"""What the API takes and gives."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..preprocess import ImageSpec


class ClassProbability(BaseModel):
    """One class, and its probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class ModelReference(BaseModel):
    """Which model made a prediction."""

    name: str
    sha256: str


class Latency(BaseModel):
    """Where the time of one request went, in milliseconds, from when its image had arrived."""

    decode: float
    queue: float
    inference: float
    total: float


class Prediction(BaseModel):
    """The classes of an image, the most probable first."""

    id: str = Field(description="Also the header X-Request-ID; feedback refers to it")
    label: str = Field(examples=["3"])
    class_index: int
    probabilities: list[ClassProbability]
    model: ModelReference
    latency_ms: Latency


class Feedback(BaseModel):
    """The true label of an image that a prediction was made for."""

    prediction_id: str = Field(pattern="^[0-9a-f]{32}$", examples=["0" * 32])
    label: str = Field(description="The true class", max_length=200, examples=["5"])


class Sample(BaseModel):
    """An image of the test set, as base64 of a PNG file, and its true class."""

    label: str
    png: str


class ModelInfo(BaseModel):
    """The model that is served, with the metrics of its evaluation, from its `ModelMetadata`."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(validation_alias="model")
    sha256: str
    classes: tuple[str, ...]
    image: ImageSpec
    created: str
    commit: str
    data_hash: str
    hardware: str
    metrics: dict[str, Any]


class Status(BaseModel):
    """The response of health checks, and of whatever else has nothing more to say."""

    status: str


class Problem(BaseModel):
    """An error as RFC 9457 has it; `detail` is one sentence for the client."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["there is no image in the request"])


IMAGE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": IMAGE}, "required": ["file"]}
# FastAPI finds neither in the function, which reads its request itself.
PREDICT_REQUEST: dict[str, Any] = {
    "security": [{"api_key": []}],
    "parameters": [
        {
            "name": "keep_image",
            "in": "query",
            "description": "Store the image with the prediction, so that feedback can use it",
            "schema": {"type": "boolean", "default": False},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": IMAGE},
            "application/octet-stream": {"schema": IMAGE},
            "multipart/form-data": {"schema": FORM},
        },
    },
}
