"""A small convolutional network in the manner of VGG, with batch normalisation.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2014, arXiv:1409.1556; Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
"""

from torch import Tensor, nn


class CNN(nn.Module):
    """Three stages of two 3x3 convolutions, each with half the size and twice the channels.

    Takes (N, in_channels, H, W) with H and W of at least 4; gives logits (N, num_classes).
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, width: int = 32, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _convolution(in_channels, width),
            _convolution(width, width),
            nn.MaxPool2d(2),
            _convolution(width, 2 * width),
            _convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),
            _convolution(2 * width, 4 * width),
            _convolution(4 * width, 4 * width),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.features(images)).flatten(1)  # (N, 4 * width)
        logits: Tensor = self.head(self.dropout(features))
        return logits


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
