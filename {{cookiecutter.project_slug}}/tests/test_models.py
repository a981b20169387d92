"""Each network that `params.yaml` may name: its shapes, its size, and that it can learn."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from package_name.config import NetworkName, load_config, networks
from package_name.data.dataset import DatasetInfo
from package_name.models import build_model, count_parameters
from package_name.models.cnn import CNN
from package_name.models.normalize import Normalize
from package_name.models.resnet import ResNet
from package_name.models.vit import ViT
from package_name.preprocess import ImageSpec

# A network that is added to `NetworkName` is tested, too, with its settings in params.yaml.
NAMES = get_args(NetworkName)
FROM_SCRATCH = [name for name in NAMES if name != "pretrained"]
SMALL = replace(
    load_config(Path(__file__).parents[1] / "params.yaml").model,
    cnn=networks.CNNConfig(width=8, dropout=0.0),
    resnet=networks.ResNetConfig(width=8, num_blocks=1),
    vit=networks.ViTConfig(patch_size=4, width=32, depth=2, num_heads=4),
    pretrained=networks.PretrainedConfig(image_size=32),
)


def build(name: NetworkName, channels: int, size: int, num_classes: int) -> nn.Sequential:
    info = DatasetInfo(
        name="",
        classes=tuple(map(str, range(num_classes))),
        image=ImageSpec(channels, size, size),
        counts={},
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        skipped=(),
        num_from_feedback={},
        num_copies=0,
        ignored={},
        content_hash="",
    )
    return build_model(replace(SMALL, name=name), info)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32), (3, 64)])
def test_images_of_any_shape_have_one_logit_per_class(
    name: NetworkName, channels: int, size: int
) -> None:
    model = build(name, channels, size, num_classes=7)
    images = torch.randint(0, 256, (2, channels, size, size), dtype=torch.uint8)
    assert model(images).shape == (2, 7)


def test_resnet_20_has_the_parameters_of_the_paper() -> None:
    # Table 6 of the paper says 0.27 million.
    assert count_parameters(ResNet(3, 10, width=16, num_blocks=3)) == 272_474


def test_vit_base_has_the_parameters_of_the_paper() -> None:
    # Table 1 of the paper says 86 million; on the meta device they take no memory.
    with torch.device("meta"):
        base = ViT(3, 1000, image_size=224, patch_size=16, width=768, depth=12, num_heads=12)
    assert count_parameters(base) == 86_567_656


def test_the_cnn_has_the_parameters_that_its_layers_have() -> None:
    convolutions = 9 * (1 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 32 * 32)
    norms = 2 * (8 + 8 + 16 + 16 + 32 + 32)
    assert count_parameters(CNN(1, 10, width=8)) == convolutions + norms + 32 * 10 + 10


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_one_batch_is_memorised(name: NetworkName) -> None:
    torch.manual_seed(0)
    model = build(name, channels=1, size=8, num_classes=10)
    images = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8)
    labels = torch.arange(16) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loss = Tensor()
    for _ in range(50):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_normalisation_gives_zero_mean_and_unit_variance() -> None:
    pixels = torch.randint(0, 256, (100, 2, 8, 8), dtype=torch.uint8)
    scaled = pixels.float() / 255
    mean, std = scaled.mean(dim=(0, 2, 3)).tolist(), scaled.std(dim=(0, 2, 3)).tolist()
    normalized = Normalize(mean, std)(pixels)
    assert normalized.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (normalized.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-4
