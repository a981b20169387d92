"""The residual network for small images.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385,
section 4.2: three stages of `num_blocks` blocks; width 16 with 3, 5, 7, 9 blocks gives
ResNet-20, -32, -44, -56.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class ResNet(nn.Module):
    """Takes (N, in_channels, H, W); gives logits (N, num_classes).

    Shortcuts that change shape are 1x1 convolutions (option B of the paper), and the last batch
    normalisation of each block starts at zero, so that every block starts as the identity
    (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, width: int = 16, num_blocks: int = 3
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.Sequential(
            _stage(width, width, num_blocks, stride=1),
            _stage(width, 2 * width, num_blocks, stride=2),
            _stage(2 * width, 4 * width, num_blocks, stride=2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, num_classes)
        _initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.stages(self.stem(images))).flatten(1)  # (N, 4 * width)
        logits: Tensor = self.head(features)
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: `relu(x + f(x))`."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = F.relu(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        return F.relu(self.shortcut(x) + residual)


def _stage(in_channels: int, out_channels: int, num_blocks: int, *, stride: int) -> nn.Sequential:
    first = ResidualBlock(in_channels, out_channels, stride=stride)
    others = [ResidualBlock(out_channels, out_channels, stride=1) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *others)


def _initialize(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.norm2.weight)
