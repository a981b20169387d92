"""Each network: its shapes, its size, and that it can learn."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from package_name.models import count_parameters
from package_name.models.cnn import CNN
from package_name.models.normalize import Normalize
from package_name.models.resnet import ResNet
from package_name.models.vit import ViT


def build(name: str, channels: int, size: int, num_classes: int) -> nn.Module:
    match name:
        case "cnn":
            return CNN(channels, num_classes, width=8, dropout=0.0)
        case "resnet":
            return ResNet(channels, num_classes, width=8, num_blocks=1)
        case _:
            return ViT(channels, num_classes, image_size=size, patch_size=4, width=32, depth=2)


@pytest.mark.parametrize("name", ["cnn", "resnet", "vit"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32), (3, 64)])
def test_images_of_any_shape_give_one_logit_a_class(name: str, channels: int, size: int) -> None:
    model = build(name, channels, size, num_classes=7)
    assert model(torch.rand(2, channels, size, size)).shape == (2, 7)


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


@pytest.mark.parametrize("name", ["cnn", "resnet", "vit"])
def test_one_batch_is_learnt_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, channels=1, size=8, num_classes=10)
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loss = Tensor()
    for _ in range(50):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_normalising_gives_zero_mean_and_unit_variance() -> None:
    pixels = torch.randint(0, 256, (100, 2, 8, 8), dtype=torch.uint8)
    scaled = pixels.float() / 255
    mean, std = scaled.mean(dim=(0, 2, 3)).tolist(), scaled.std(dim=(0, 2, 3)).tolist()
    normalized = Normalize(mean, std)(pixels)
    assert normalized.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (normalized.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-4
