"""Switches of `params.yaml` for speed and memory leave the result as it is."""

import platform
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from package_name.config import TrainConfig
from package_name.errors import UserError
from package_name.models.vit import ViT
from package_name.training.distributed import ALONE
from package_name.training.loop import TrainResult, train
from package_name.training.loss import cross_entropy
from package_name.training.memory import keep_freed_memory
from package_name.training.sharding import shard

from .shared_training import CPU, digits
from .train_config import TRAIN_CONFIG


class TwoLayers(nn.Module):
    """Without batch normalisation, so that parts of a batch do what the whole does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 10))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, 10) of pixels uint8 (N, 1, 8, 8)."""
        logits: torch.Tensor = self.layers(pixels.float() / 255)
        return logits


def run(folder: Path, **changes: object) -> TrainResult:
    config = replace(TRAIN_CONFIG, epochs=2, optimizer="sgd", **changes)  # type: ignore[arg-type]
    return train(
        TwoLayers(),
        digits(0, 601),
        digits(1000, 1101),
        config,
        device=CPU,
        checkpoint=folder / "last.pt",
        fingerprint="switches",
    )


def difference(one: TrainResult, other: TrainResult) -> float:
    """The largest between any two weights."""
    pairs = zip(one.best_weights.values(), other.best_weights.values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return run(tmp_path_factory.mktemp("plain"))


def test_pictures_on_the_disk_give_the_same_weights_to_the_bit(
    tmp_path: Path, plain: TrainResult
) -> None:
    assert difference(run(tmp_path, data_location="disk"), plain) == 0


@pytest.mark.parametrize("num_parts", [2, 3, 64])
def test_a_batch_in_parts_gives_the_step_of_the_whole(
    tmp_path: Path, plain: TrainResult, num_parts: int
) -> None:
    assert 0 < difference(run(tmp_path, accumulation_steps=num_parts), plain) < 1e-5


def test_a_compiled_network_learns_the_same(tmp_path: Path, plain: TrainResult) -> None:
    if not shutil.which("g++"):
        pytest.skip("torch.compile wants a C++ compiler (Debian: g++)")
    assert difference(run(tmp_path, compile=True), plain) < 1e-4


def test_freed_memory_is_there_for_the_next_step() -> None:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc gives memory back at once")
    import resource  # not on Windows

    keep_freed_memory()

    def num_page_faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(4_000_000)  # 16 MB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    num_page_faults()
    assert num_page_faults() < 1000  # of the 4 kB that each of 80,000 would bring


@pytest.mark.parametrize(
    "changes", [{"ema_decay": 0.9}, {"optimizer": "muon"}], ids=["ema_decay", "muon"]
)
def test_what_needs_whole_weights_cannot_be_sharded(changes: dict[str, object]) -> None:
    config: TrainConfig = replace(TRAIN_CONFIG, shard_weights=True, **changes)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"shard_weights = true: needs optimizer = adamw"):
        shard(ViT(1, 10, image_size=8), config, ALONE)


def test_only_a_vit_can_be_sharded() -> None:
    with pytest.raises(UserError, match=r"only for model\.name = vit"):
        shard(TwoLayers(), TRAIN_CONFIG, ALONE)


def test_the_kernel_is_refused_where_there_is_no_gpu() -> None:
    with pytest.raises(UserError, match=r"train\.fused_loss = true: needs CUDA"):
        cross_entropy(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), 0.1, fused=True)
