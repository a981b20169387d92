"""Corruptions get worse with their severity, and are in the card and its plot."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from my_project.evaluation.corruptions import SEVERITIES, corrupt

from .commands import command

ROOT = Path(__file__).parents[2]
READ = ("data/prepared", "data/attributes.csv", "checkpoints", "metrics", "params.yaml", "model")


@pytest.mark.parametrize("name", SEVERITIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_higher_severity_changes_images_more(name: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, channels, 8, 8), dtype=np.uint8)
    images = coarse.repeat(4, axis=2).repeat(4, axis=3)
    images[:, :, 3::4] //= 2
    changes = []
    for level in SEVERITIES[name]:
        corrupted = corrupt(images, name, level, np.random.default_rng(0))
        assert corrupted.shape == images.shape
        assert corrupted.dtype == np.uint8
        changes.append(np.abs(corrupted.astype(float) - images).mean())
    assert changes[0] > 0
    assert changes == sorted(changes)


def test_the_card_shows_corruptions_slices_and_temperature(tmp_path: Path) -> None:
    for name in (*READ, "reports", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    on = "robustness.corruptions=true robustness.slices=true export.temperature_scaling=true "
    on += "evaluate.bootstrap_samples=100"
    for stage in ("set_params", "evaluate", "export", "report"):
        command(f"stages.{stage}", cwd=tmp_path, PARAMETERS=on).check_returncode()
    card = (tmp_path / "docs/model-card.md").read_text(encoding="utf-8")
    for name in SEVERITIES:
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        assert row.count(" to ") == 5
    assert "| attribute | value | accuracy | test images |" in card
    assert "The exported file divides the logits by" in card
    assert (tmp_path / "reports/corruptions.png").stat().st_size > 0
