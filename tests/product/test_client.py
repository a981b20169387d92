"""The Python client of docs/api.md, run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..serving_helpers import run_module, running_server

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "client.py"
    file.write_text(code, encoding="utf-8")
    return file


def test_it_predicts_with_a_key_and_sends_feedback(
    client: Path, model_dir: Path, digit: bytes, tmp_path: Path
) -> None:
    image, text, keys = (tmp_path / name for name in ("three.png", "text.png", "keys.json"))
    image.write_bytes(digit)
    text.write_text("no image")
    key = run_module("serving.keys", "create", "ana", api_keys_file=keys)
    with running_server(model_dir, environment="production", api_keys_file=keys) as server:
        variables = {"SERVICE": str(server.base_url), "API_KEY": key}

        def run(*arguments: str | Path, **others: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, str(client), *map(str, arguments)]
            env = os.environ | variables | others
            return subprocess.run(command, env=env, capture_output=True, text=True)

        assert run(image).stdout.split()[0] == "3"
        assert run(image, "8").stdout.splitlines()[1] == "accepted"
        for failed in (run(text), run(image, API_KEY="wrong")):
            assert failed.returncode == 1
            assert len(failed.stderr.splitlines()) == 1
