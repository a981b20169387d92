"""Values given by hand: into params.yaml as they are, or one sentence and nothing changed."""

import subprocess
from pathlib import Path

import pytest

from my_project.config import load_config

from .commands import command

PARAMS = Path(__file__).parents[2] / "params.yaml"


def set_params(
    folder: Path, parameters: str, content: bytes | None = None
) -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_bytes(PARAMS.read_bytes() if content is None else content)
    return command("stages.set_params", cwd=folder, PARAMETERS=parameters)


def test_values_are_set_and_every_comment_stays(tmp_path: Path) -> None:
    done = set_params(tmp_path, "model.name=resnet  train.epochs=5 train.learning_rate=1.5e-3")
    assert (done.returncode, done.stderr) == (0, "")
    config = load_config(tmp_path / "params.yaml")
    assert (config.model.name, config.train.epochs) == ("resnet", 5)
    assert config.train.learning_rate == 0.0015
    before = PARAMS.read_text(encoding="utf-8").splitlines()
    after = (tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 3
    for old, new in changed:
        assert old.partition("#")[2] == new.partition("#")[2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("train.epoch=5", "train.epoch is not a key with a value"),
        ("train=5", "train is not a key with a value"),
        ("train.epochs.x=5", "train.epochs.x is not a key with a value"),
        ("train.epochs", "'train.epochs' is not of the form key=value"),
        ("train.seed=1 train.epochs=0", "train.epochs = 0: "),
        ("train.epochs=$(id)", "train.epochs = '$(id)': "),
        ("train.epochs=[1 train.seed=1", "'train.epochs=[1': '[1' is not a number, text, true"),
        ("train.seed=1 train.epochs='5", "is not a number, text"),
        ("fetch.base_url=a:", "'fetch.base_url=a:': 'a:' is not a number, text"),
        ("prepare.limit=#5", "'prepare.limit=#5': '#5' is not a number, text"),
        ("prepare.limit=|", "'prepare.limit=|': '|' is not a number, text"),
        ("train.epochs=\udcff", "is not a number, text"),
        ("train.fused_loss=true", "train.fused_loss = true: needs train.device = cuda"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_changed(
    parameters: str, message: str, tmp_path: Path
) -> None:
    done = set_params(tmp_path, parameters)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "params.yaml").read_bytes() == PARAMS.read_bytes()


@pytest.mark.parametrize("content", [b"", b"train: [1,", b"\xff", b"train: {a: 1, a: 2}"])
def test_a_broken_file_is_one_sentence_and_stays(content: bytes, tmp_path: Path) -> None:
    done = set_params(tmp_path, "train.epochs=5", content)
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml")
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "params.yaml").read_bytes() == content


def test_no_parameters_change_nothing(tmp_path: Path) -> None:
    assert set_params(tmp_path, "").returncode == 0
    assert (tmp_path / "params.yaml").read_bytes() == PARAMS.read_bytes()
