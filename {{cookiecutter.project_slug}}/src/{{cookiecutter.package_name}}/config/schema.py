"""The sections of `params.yaml`, with types and ranges. The docstring below a field explains it."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from .fields import (
    CHECKED,
    Count,
    Flag,
    Fraction,
    Location,
    NonNegative,
    Pattern,
    Positive,
    Precision,
    Seed,
    Share,
    SplitFraction,
)
from .networks import ModelConfig

DatasetName = Literal["digits", "fashion-mnist", "cifar10", "image-folder"]

METHODS = ("distillation", "pruning", "int8")


def _channel_count(value: object) -> object:
    """Refuse true and 1.0, which a `Literal` takes for 1."""
    if type(value) is not int:
        raise ValueError("input should be 1 or 3")
    return value


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class FetchConfig:
    """Which data set, and where to read it from."""

    dataset: DatasetName
    """The data set to read; `image-folder` is the user's own images."""
    base_url: str | None
    """A mirror, or a folder as file:///a/folder; None is the official source."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class PrepareConfig:
    """Shape of the prepared images, and how they are split."""

    channels: Annotated[Literal[1, 3], BeforeValidator(_channel_count)]
    """1 is grey, 3 is RGB."""
    image_size: Count
    """Side in pixels; images are cropped to a square and scaled to it."""
    validation_fraction: SplitFraction
    """Share of the images that are not in the test split."""
    test_fraction: SplitFraction
    """Share of all images; unused where the data set comes with its own test set."""
    limit: Count | None
    """Maximum number of images in each split; None keeps all."""
    seed: Seed
    """Random seed of the split."""
    group_pattern: Pattern | None
    """Regular expression on a file's name: images with the same match stay in the same split."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class TrainConfig:
    """Settings of the training loop."""

    seed: Seed
    """Random seed of initial weights, shuffling, augmentation and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """`auto` uses a GPU if there is one."""
    precision: Precision
    """Type of mixed precision; `auto` is bfloat16 if the hardware has it, else float32."""
    data_location: Location
    """Where training images are kept; `auto` is the device if half its free memory is enough."""
    compile: Flag
    """Use torch.compile: slow to start, so for long training on a GPU."""
    fused_loss: Flag
    """Compute the loss by the Triton kernel in `training/kernels.py`; needs `device: cuda`."""
    sync_batch_norm: Flag
    """With several processes: normalise by the statistics of the whole batch, as one would."""
    shard_weights: Flag
    """With several processes: FSDP2, each keeps a shard of a ViT's weights."""
    epochs: Count
    """Maximum number of passes over the training split."""
    batch_size: Count
    """Images per step: the global batch size, over all processes and micro-batches."""
    accumulation_steps: Count
    """Micro-batches per step, one after the other, with accumulated gradients; saves memory."""
    optimizer: Literal["adamw", "sgd", "muon"]
    """The rule that turns gradients into an update of the weights."""
    learning_rate: Positive
    """Peak of the schedule."""
    weight_decay: NonNegative
    """Weight decay of matrices and filters; biases and normalisation have none."""
    schedule: Literal["one-cycle", "cosine"]
    """How the learning rate rises to its peak and falls to almost 0."""
    label_smoothing: Share
    """Share of each label that is spread evenly over all classes."""
    ema_decay: Share
    """Above 0: evaluate and export an exponential moving average of the weights."""
    crop_padding: Annotated[int, Field(strict=True, ge=0)]
    """Augmentation: shift each image by up to so many pixels, in each direction."""
    horizontal_flip: Flag
    """Augmentation: mirror half of the images, at random."""
    patience: Count
    """Stop after this many epochs without a better validation accuracy."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class CompressConfig:
    """What makes the served model smaller than the trained one; off by default."""

    student_width: Count | None
    """Distillation: a CNN of this width is trained to predict what the model does."""
    pruned_width: Count | None
    """Structured pruning: the strongest filters stay, as many as a network of this width has."""
    epochs: Count
    """Of distillation, and of fine-tuning after pruning."""
    int8: Flag
    """Weights and activations of 8 bits: a quarter of the size."""
    max_label_changes: Share
    """Of int8: largest share of the test images whose label may differ from PyTorch's."""

    @property
    def methods(self) -> list[str]:
        """The methods that are on, in the order in which they are applied."""
        asked = (self.student_width, self.pruned_width, self.int8)
        return [name for name, value in zip(METHODS, asked, strict=True) if value]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class EvaluateConfig:
    """How the test set's metrics and their intervals are computed."""

    bootstrap_samples: Annotated[int, Field(strict=True, ge=100)]
    """Bootstrap resamples behind 95 % intervals, other than an accuracy's."""
    num_bins: Annotated[int, Field(strict=True, ge=2)]
    """Bins of the reliability diagram and of the expected calibration error."""
    test_time_augmentation: Flag
    """Also measure the mean over shifted images, reported separately."""
    seed: Seed
    """Random seed of the resamples."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class RobustnessConfig:
    """What is measured beyond the average over the test split."""

    corruptions: Flag
    """Also measure noisy, blurred, dark, rotated and compressed images, each at five severities."""
    slices: Flag
    """Also measure classes, brightness, size, source and the attributes in data/attributes.csv."""
    max_slice_drop: Fraction | None
    """The gate's allowed drop of each slice below the whole test split; None has no limit."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class GateConfig:
    """What a candidate has to reach to be released."""

    min_accuracy: Fraction
    """Lowest allowed test accuracy, whatever the champion's is."""
    max_accuracy_drop: Fraction
    """Allowed drop of the test accuracy below the champion's, and below the best one's so far."""
    max_recall_drop: Fraction
    """Allowed drop of the recall of each class below theirs."""
    best_since: str | None
    """Git revision from which on the best model is looked for; None: in the newest results."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ExportConfig:
    """The ONNX file, and how far its logits may be from PyTorch's."""

    opset: Annotated[int, Field(strict=True, ge=18, le=25)]
    """ONNX operator set version, of those that PyTorch's exporter writes."""
    max_logit_error: Positive
    """Largest allowed difference from PyTorch's logits on the test split."""
    temperature_scaling: Flag
    """Divide the logits by the constant that calibrates the confidence on the validation split."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Config:
    """All of `params.yaml`."""

    fetch: FetchConfig
    prepare: PrepareConfig
    model: ModelConfig
    train: TrainConfig
    compress: CompressConfig
    evaluate: EvaluateConfig
    robustness: RobustnessConfig
    gate: GateConfig
    export: ExportConfig
