"""The Vision Transformer.

Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
2020, arXiv:2010.11929. Blocks normalise before each part (Xiong et al. 2020, arXiv:2002.04745).
"""

import torch
from torch import Tensor, nn


class ViT(nn.Module):
    """Cuts an image into patches, and reads them as a sequence after a class token.

    Takes (N, in_channels, image_size, image_size); gives logits (N, num_classes).
    `image_size` must be a multiple of `patch_size`, and `width` of `num_heads`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        image_size: int,
        patch_size: int = 4,
        width: int = 64,
        depth: int = 4,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        num_patches = (image_size // patch_size) ** 2
        self.patchify = nn.Conv2d(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + num_patches, width))
        self.blocks = nn.Sequential(*(_transformer_block(width, num_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        nn.init.trunc_normal_(self.positions, std=0.02)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patchify(images).flatten(2).transpose(1, 2)  # (N, num_patches, width)
        token = self.class_token.expand(patches.shape[0], -1, -1)
        x = torch.cat([token, patches], dim=1) + self.positions  # (N, 1 + num_patches, width)
        x = self.norm(self.blocks(x))
        logits: Tensor = self.head(x[:, 0])
        return logits


def _transformer_block(width: int, num_heads: int) -> nn.Module:
    """Compute x + attention(norm(x)), then x + mlp(norm(x)); takes and gives (N, T, width)."""
    return nn.TransformerEncoderLayer(
        width,
        num_heads,
        dim_feedforward=4 * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
