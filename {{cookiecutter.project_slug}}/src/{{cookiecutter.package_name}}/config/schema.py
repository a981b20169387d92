"""The keys of `params.yaml`, with types and ranges. The string below a field explains it."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass


def _integer(value: object) -> object:
    """Refuse true and 1.0, which a `Literal` takes for 1."""
    if type(value) is not int:
        raise ValueError("input should be 1 or 3")
    return value


# Strict: no boolean and no text where a number is wanted. `1` is a right value for a float.
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]  # scikit-learn takes 32 bits
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
SplitFraction = Annotated[Number, Field(gt=0, lt=1)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]

DatasetName = Literal["digits", "fashion-mnist", "cifar10", "image-folder"]

CHECKED = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class FetchConfig:
    """Which data set, and where to read it from."""

    dataset: DatasetName
    """The data set to read; `image-folder` is the user's own images."""
    base_url: str | None
    """A mirror, or a folder as file:///a/folder; None is the official place."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class PrepareConfig:
    """Shape of the prepared images, and how they are split."""

    channels: Annotated[Literal[1, 3], BeforeValidator(_integer)]
    """1 is grey, 3 is RGB."""
    image_size: Count
    """Side in pixels; images are cropped to a square and scaled to it."""
    validation_fraction: SplitFraction
    """Part of the images that are not in the test split."""
    test_fraction: SplitFraction
    """Part of all images; not used where the data set comes with a test set of its own."""
    limit: Count | None
    """Keep only so many images of each split; None keeps all."""
    seed: Seed
    """Decides which image goes into which split."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class CNNConfig:
    """See `models/cnn.py`."""

    width: Count
    """Channels of the first stage; each further one has twice as many."""
    dropout: Share
    """Part of the last features that is dropped at random in each training step."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ResNetConfig:
    """See `models/resnet.py`."""

    width: Count
    """Channels of the first stage; each further one has twice as many."""
    num_blocks: Count
    """Residual blocks in each of the three stages; 3 gives ResNet-20."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ViTConfig:
    """See `models/vit.py`."""

    patch_size: Count
    """Side of a patch in pixels; divides `prepare.image_size`."""
    width: Count
    """Length of a token's vector; a multiple of `num_heads`."""
    depth: Count
    """Transformer blocks."""
    num_heads: Count
    """Attention heads in each block."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ModelConfig:
    """Which architecture; only the section of that name is read."""

    name: Literal["cnn", "resnet", "vit"]
    """The section that is read."""
    cnn: CNNConfig
    """A small network in the manner of VGG."""
    resnet: ResNetConfig
    """A residual network for small images."""
    vit: ViTConfig
    """A Vision Transformer."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class TrainConfig:
    """The training loop's knobs."""

    seed: Seed
    """Decides initial weights, shuffling, augmentation and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """`auto` takes a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    """What networks calculate in; `auto` takes bfloat16 where the hardware has it."""
    data_location: Literal["auto", "device", "disk"]
    """Where images lie; `auto` takes the device where half of its free memory is enough."""
    compile: Flag
    """Use torch.compile: slow to start, for long runs on a GPU."""
    fused_loss: Flag
    """Compute the loss by the Triton kernel in `training/kernels.py`; needs `device: cuda`."""
    sync_batch_norm: Flag
    """Of several processes: normalise over the whole batch, which gives the result of one."""
    shard_weights: Flag
    """Of several processes: FSDP2, where each keeps a part of a ViT's weights."""
    epochs: Count
    """Passes over the training split, at most."""
    batch_size: Count
    """Images in a step: the global batch size, over all processes and parts together."""
    accumulation_steps: Count
    """Parts that a batch is worked through in, one after the other, where memory is short."""
    optimizer: Literal["adamw", "sgd", "muon"]
    """What turns gradients into steps."""
    learning_rate: Positive
    """The highest of the schedule."""
    weight_decay: NonNegative
    """How strongly matrices and filters are pulled towards zero."""
    schedule: Literal["one-cycle", "cosine"]
    """How the learning rate rises and falls."""
    label_smoothing: Share
    """Part of each label that is spread evenly over all classes."""
    ema_decay: Share
    """Above 0: keep a moving average of the weights, and use that."""
    crop_padding: Annotated[int, Field(strict=True, ge=0)]
    """Pixels that an image may be shifted by, in each direction."""
    horizontal_flip: Flag
    """Mirror half of the images, at random."""
    patience: Count
    """Stop after so many epochs without a better validation accuracy."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class EvaluateConfig:
    """How the test set's metrics and their intervals are computed."""

    bootstrap_samples: Annotated[int, Field(strict=True, ge=100)]
    """Resamples behind each 95 % interval."""
    num_bins: Annotated[int, Field(strict=True, ge=2)]
    """Bins of the reliability diagram and of the expected calibration error."""
    test_time_augmentation: Flag
    """Also measure the mean over shifted images, reported apart."""
    seed: Seed
    """Decides the resamples."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class GateConfig:
    """What a candidate has to reach to be let through."""

    min_accuracy: Fraction
    """The floor, whatever the champion does."""
    max_accuracy_drop: Fraction
    """How much worse than the champion is still let through."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ExportConfig:
    """The ONNX file, and how far its logits may be from PyTorch's."""

    opset: Annotated[int, Field(strict=True, ge=18, le=25)]
    """Version of ONNX's operators, out of those that PyTorch's exporter writes."""
    max_logit_error: Positive
    """Largest difference to PyTorch's logits on the test split."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Config:
    """All of `params.yaml`."""

    fetch: FetchConfig
    prepare: PrepareConfig
    model: ModelConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    gate: GateConfig
    export: ExportConfig
