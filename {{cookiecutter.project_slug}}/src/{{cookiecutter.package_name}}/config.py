"""`params.yaml` as frozen dataclasses: the one place where the pipeline's knobs enter the code."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from .errors import UserError

PARAMS_FILE = Path("params.yaml")

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

DatasetName = Literal["digits", "fashion-mnist", "cifar10", "image-folder"]

NO_OTHER_KEYS = ConfigDict(extra="forbid")


class ConfigError(UserError):
    """A value in `params.yaml` that cannot be used; the message names key and value."""


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class FetchConfig:
    """Which data set, and where to read it from."""

    dataset: DatasetName
    base_url: str | None


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class PrepareConfig:
    """Shape of the prepared pictures, and how they are split."""

    channels: Literal[1, 3]
    image_size: Count
    validation_fraction: Annotated[float, Field(gt=0, lt=1)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    limit: Count | None
    seed: Seed


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class CNNConfig:
    """See `models/cnn.py`."""

    width: Count
    dropout: Fraction


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class ResNetConfig:
    """See `models/resnet.py`."""

    width: Count
    num_blocks: Count


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class ViTConfig:
    """See `models/vit.py`."""

    patch_size: Count
    width: Count
    depth: Count
    num_heads: Count


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class ModelConfig:
    """Which architecture; only the section of that name is read."""

    name: Literal["cnn", "resnet", "vit"]
    cnn: CNNConfig
    resnet: ResNetConfig
    vit: ViTConfig


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class TrainConfig:
    """The training loop's knobs. `learning_rate` is the highest of the schedule."""

    seed: Seed
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    data_location: Literal["auto", "device", "disk"]
    compile: bool
    fused_loss: bool
    sync_batch_norm: bool
    shard_weights: bool
    epochs: Count
    batch_size: Count
    accumulation_steps: Count
    optimizer: Literal["adamw", "sgd", "muon"]
    learning_rate: Positive
    weight_decay: NonNegative
    schedule: Literal["one-cycle", "cosine"]
    label_smoothing: Fraction
    ema_decay: Fraction
    crop_padding: Annotated[int, Field(ge=0)]
    horizontal_flip: bool
    patience: Count


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class EvaluateConfig:
    """How the test set's metrics and their intervals are computed."""

    bootstrap_samples: Annotated[int, Field(ge=100)]
    num_bins: Annotated[int, Field(ge=2)]
    test_time_augmentation: bool
    seed: Seed


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class GateConfig:
    """What a candidate has to reach to be let through."""

    min_accuracy: Annotated[float, Field(ge=0, le=1)]
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class ExportConfig:
    """The ONNX file, and how far its logits may be from PyTorch's."""

    opset: Annotated[int, Field(ge=18)]
    max_logit_error: Positive


@dataclass(frozen=True, kw_only=True, config=NO_OTHER_KEYS)
class Config:
    """All of `params.yaml`."""

    fetch: FetchConfig
    prepare: PrepareConfig
    model: ModelConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    gate: GateConfig
    export: ExportConfig


def load_config(path: Path = PARAMS_FILE) -> Config:
    """Read and check `params.yaml`.

    Raises:
        ConfigError: one line per wrong, missing or unknown key, with its value and what is right.
    """
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} not found: run from the project's root folder") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    try:
        return TypeAdapter(Config).validate_python(params)
    except ValidationError as error:
        problems = "\n".join(_sentence(problem) for problem in error.errors())
        raise ConfigError(f"{path}: {problems}") from None


def _sentence(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "missing":
            return f"{key} is missing"
        case "unexpected_keyword_argument":
            return f"{key} is not a known key"
        case _:
            return f"{key} = {problem['input']!r}: {problem['msg'].lower()}"
