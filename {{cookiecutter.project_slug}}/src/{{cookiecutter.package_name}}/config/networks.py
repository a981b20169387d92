"""The section `model` of `params.yaml`: the networks and their settings."""

from typing import Literal

from pydantic.dataclasses import dataclass

from .fields import CHECKED, Count, Share

NetworkName = Literal["cnn", "resnet", "vit", "pretrained"]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class CNNConfig:
    """See `models/cnn.py`."""

    width: Count
    """Channels of the first stage; each later stage doubles them."""
    dropout: Share
    """Share of the last features that each training step sets to zero at random."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ResNetConfig:
    """See `models/resnet.py`."""

    width: Count
    """Channels of the first stage; each later stage doubles them."""
    num_blocks: Count
    """Residual blocks in each of the three stages; 3 gives ResNet-20."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ViTConfig:
    """See `models/vit.py`."""

    patch_size: Count
    """Side of a patch in pixels; must divide `prepare.image_size`."""
    width: Count
    """Embedding size of a token; a multiple of `num_heads`."""
    depth: Count
    """Number of transformer blocks."""
    num_heads: Count
    """Attention heads in each block."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class PretrainedConfig:
    """See `models/pretrained.py`."""

    image_size: Count
    """Side to which images are scaled for the network; a multiple of 32."""


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ModelConfig:
    """The architecture, and the settings of each."""

    name: NetworkName
    """The architecture; only the section of that name is used."""
    cnn: CNNConfig
    """A small VGG-style network."""
    resnet: ResNetConfig
    """A residual network for small images."""
    vit: ViTConfig
    """A Vision Transformer."""
    pretrained: PretrainedConfig
    """EfficientNet-Lite0, which starts from weights of ImageNet."""
