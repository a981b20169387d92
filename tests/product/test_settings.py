"""Settings, keys and models that cannot be used are one sentence; a container's limit is kept."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from my_project.cores import num_cores
from my_project.serving.predictor import ModelError, Predictor


@pytest.mark.parametrize(
    ("quota", "limit"), [("max 100000", 1000), ("150000 100000", 2), ("50000 100000", 1)]
)
def test_a_containers_limit_counts_as_cores(tmp_path: Path, quota: str, limit: int) -> None:
    unlimited = num_cores(tmp_path / "no-such-file")
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert unlimited >= 1
    assert num_cores(tmp_path / "cpu.max") == min(unlimited, limit)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DATABASE_URL": "postgres://localhost/a"}, "error: DATABASE_URL cannot be used: "),
        ({"MAX_PIXELS": "many"}, "error: MAX_PIXELS=many: "),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(
    settings: dict[str, str], message: str
) -> None:
    command = [sys.executable, "-m", "my_project.serving"]
    result = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1 or "DATABASE_URL" in settings


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_a_port_that_is_in_use_ends_the_service_with_one_line_that_says_so(
    tmp_path: Path, num_workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"PORT": str(taken.getsockname()[1]), "NUM_WORKERS": num_workers}
        settings |= {"DATABASE_URL": f"sqlite:///{tmp_path}/predictions.db"}
        command = [sys.executable, "-m", "my_project.serving"]
        result = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert result.returncode != 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    [error] = [line["message"] for line in lines if line["level"] == "error"]
    assert "address already in use" in error.lower()


@pytest.mark.parametrize(("name", "rate"), [("shop", "0"), ("shop", "nan"), ("kl\u00fc", "1")])
def test_a_key_that_could_never_be_used_is_not_made(tmp_path: Path, name: str, rate: str) -> None:
    file = tmp_path / "keys.json"
    command = [sys.executable, "-m", "my_project.serving.keys", "create", name, "--rate", rate]
    environment = os.environ | {"API_KEYS_FILE": str(file)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert not file.exists()


def test_metadata_that_cannot_be_read_is_a_clear_error(model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    (folder / "metadata.json").write_text("{}")
    with pytest.raises(ModelError, match=r"metadata\.json is broken"):
        Predictor.load(folder, num_threads=1)
