"""Structured pruning: a narrower network of the same kind, made of the strongest filters.

Li et al., "Pruning Filters for Efficient ConvNets", 2017, arXiv:1608.08710.
"""

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..models.cnn import CNN
from ..models.resnet import ResNet

# A convolution, its batch normalisation, and the names of the channels that it reads and writes.
# Any: PyTorch types the parts of a `Sequential` as `Module`.
Layer = tuple[Any, Any, Hashable, Hashable]


@torch.no_grad()
def prune(network: nn.Sequential, narrow: nn.Sequential) -> None:
    """Fill `narrow` with as many channels of `network` as it has.

    Those with the largest L1 norm are kept, as scaled by batch normalisation. All layers that write
    the same channels count together: in a ResNet, shortcuts add up those of a whole stage.
    """
    layers, narrow_layers = list(_layers(network[1])), list(_layers(narrow[1]))
    norms: dict[Hashable, Tensor] = {}
    for convolution, norm, _, writes in layers:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        strength = convolution.weight.abs().sum((1, 2, 3)) * scale.abs()
        norms[writes] = norms.get(writes, 0) + strength
    kept: dict[Hashable, Tensor] = {"image": torch.arange(layers[0][0].in_channels)}
    for (*_, writes), (convolution, *_) in zip(layers, narrow_layers, strict=True):
        kept[writes] = norms[writes].topk(convolution.out_channels).indices.sort().values
    for (convolution, norm, reads, writes), target in zip(layers, narrow_layers, strict=True):
        target[0].weight.copy_(convolution.weight[kept[writes]][:, kept[reads]])
        for name, values in norm.state_dict().items():
            getattr(target[1], name).copy_(values[kept[writes]] if values.dim() else values)
    head, narrow_head = (each.get_submodule("1.head") for each in (network, narrow))
    assert isinstance(head, nn.Linear)
    last = kept[layers[-1][3]]
    narrow_head.load_state_dict({"weight": head.weight[:, last], "bias": head.bias})


def _layers(network: nn.Module) -> Iterator[Layer]:
    if isinstance(network, CNN):
        blocks = [block for block in network.features if isinstance(block, nn.Sequential)]
        for index, (convolution, norm, _) in enumerate(blocks):
            yield convolution, norm, index - 1 if index else "image", index
    if isinstance(network, ResNet):
        yield network.stem[0], network.stem[1], "image", 0
        reads = 0
        stage: Any
        for index, stage in enumerate(network.stages):
            for block in stage:
                yield block.conv1, block.norm1, reads, block
                yield block.conv2, block.norm2, block, index
                if isinstance(block.shortcut, nn.Sequential):
                    yield block.shortcut[0], block.shortcut[1], reads, index
                reads = index
