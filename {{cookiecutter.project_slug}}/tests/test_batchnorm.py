"""Batch normalisation over a batch that processes share, here in a world of one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from package_name.training.batchnorm import synchronise_batch_norm


@pytest.fixture
def world(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("world")
def test_it_does_what_pytorchs_own_does() -> None:
    torch.manual_seed(0)
    plain, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    synchronise_batch_norm(shared)
    ours = torch.randn(5, 3, 4, 4, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.randn(5, 3, 4, 4)
    (shared(ours) * weights).sum().backward()
    (plain(theirs) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)


@pytest.mark.usefixtures("world")
def test_an_empty_part_of_a_batch_leaves_the_statistics_as_they_are() -> None:
    layer = nn.BatchNorm2d(3)
    synchronise_batch_norm(layer)
    layer(torch.randn(5, 3, 4, 4))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    empty = torch.zeros(0, 3, 4, 4, requires_grad=True)
    layer(empty).sum().backward()
    for name in ("running_mean", "running_var"):
        assert layer.state_dict()[name].equal(before[name])
    layer(torch.randn(1, 3, 1, 1)).sum().backward()
    assert all(value.isfinite().all() for value in layer.state_dict().values())
