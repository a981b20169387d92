"""A network that is added as docs/make-it-yours.md says is tested like those that ship."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src/my_project"
NETWORK = '''"""One linear layer."""

from torch import Tensor, nn


class Linear(nn.Module):
    """Takes (N, in_channels, H, W); gives logits (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, *, side: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(side),
            nn.Flatten(),
            nn.Linear(in_channels * side**2, num_classes + EXTRA),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits
'''
CASE = """        case "linear":
            network = Linear(channels, num_classes, side=config.linear.side)
"""
MODEL_CONFIG = """@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ModelConfig"""
CONFIG = '''@dataclass(frozen=True, kw_only=True, config=CHECKED)
class LinearConfig:
    """See `models/linear.py`."""

    side: Count
    """Images are scaled down to this side."""


'''


def insert(path: Path, text: str, *, before: str) -> None:
    content = path.read_text(encoding="utf-8")
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before), encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def added() -> None:
    """Change the project, which is a copy, by the steps of the document."""
    networks, models = PACKAGE / "config/networks.py", PACKAGE / "models/__init__.py"
    insert(networks, ', "linear"', before="]\n\n\n")
    insert(networks, CONFIG, before=MODEL_CONFIG)
    insert(networks, '    linear: LinearConfig\n    """A layer."""\n', before="    resnet: ResNet")
    insert(PROJECT / "params.yaml", "  linear:\n    side: 8\n", before="\ntrain:")
    insert(models, "from .linear import Linear\n", before="from .normalize")
    insert(models, CASE, before="        case _:")


def run_tests(extra: int) -> tuple[int, str]:
    """Run the project's tests of networks, with so many logits too many."""
    text = NETWORK.replace("EXTRA", str(extra))
    (PACKAGE / "models/linear.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-v", "tests/test_models.py", "-k", "linear"]
    env = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_it_is_built_and_has_to_learn() -> None:
    code, output = run_tests(extra=0)
    assert code == 0, output
    assert re.search(r"test_one_batch_is_memorised\[linear\] PASSED", output)


def test_a_fault_in_it_fails_its_tests() -> None:
    code, output = run_tests(extra=1)
    assert code == 1, output
    assert re.search(r"FAILED .*have_one_logit_per_class\[1-8-linear\]", output)
