"""The networks, one file each, what all of them share, and the function that builds one.

docs/make-it-yours.md says how to add one.
"""

from dataclasses import asdict
from typing import assert_never

from torch import nn

from ..config import ModelConfig
from ..data.dataset import DatasetInfo
from .cnn import CNN
from .normalize import Normalize
from .pretrained import MEAN, STD, Pretrained
from .resnet import ResNet
from .vit import ViT


def build_model(config: ModelConfig, info: DatasetInfo) -> nn.Sequential:
    """The network that `params.yaml` names, behind the normalisation of its pixels.

    Takes pixels (N, C, H, W) from 0 to 255, gives logits (N, num_classes). Sizes that the network
    cannot take are refused where `params.yaml` is read (`config/rules.py`).
    """
    channels, size, num_classes = info.image.channels, info.image.height, len(info.classes)
    mean, std = info.mean, info.std
    network: nn.Module
    match config.name:
        case "cnn":
            network = CNN(channels, num_classes, **asdict(config.cnn))
        case "resnet":
            network = ResNet(channels, num_classes, **asdict(config.resnet))
        case "vit":
            network = ViT(channels, num_classes, image_size=size, **asdict(config.vit))
        case "pretrained":
            network = Pretrained(num_classes, **asdict(config.pretrained))
            mean, std = MEAN, STD  # of three channels each, which makes RGB of grey images, too
        case _:
            assert_never(config.name)  # mypy: a `NetworkName` that has no case here
    return nn.Sequential(Normalize(mean, std), network)


def count_parameters(model: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
