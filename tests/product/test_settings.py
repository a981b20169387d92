"""Settings and keys that cannot be used are one sentence, and a container's limit is kept."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from my_project.serving.settings import num_cores


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
        ({"PORT": "in use"}, "error: cannot listen on 127.0.0.1:"),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(
    settings: dict[str, str], message: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if settings.get("PORT"):
            settings = {"PORT": str(taken.getsockname()[1])}
        command = [sys.executable, "-m", "my_project.serving"]
        result = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1 or "DATABASE_URL" in settings


@pytest.mark.parametrize(("name", "rate"), [("shop", "0"), ("shop", "nan"), ("kl\u00fc", "1")])
def test_a_key_that_could_never_be_used_is_not_made(tmp_path: Path, name: str, rate: str) -> None:
    file = tmp_path / "keys.json"
    command = [sys.executable, "-m", "my_project.serving.keys", "create", name, "--rate", rate]
    environment = os.environ | {"API_KEYS_FILE": str(file)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert not file.exists()
