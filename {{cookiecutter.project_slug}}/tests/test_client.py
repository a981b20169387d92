"""The Python client of docs/api.md, run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .serving_helpers import (
    digit_images,
    png,
    running_server,
    write_model,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "api.md"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "client.py"
    file.write_text(code, encoding="utf-8")
    return file


def test_it_predicts_with_a_key_and_sends_feedback(client: Path, tmp_path: Path) -> None:
    picture = tmp_path / "three.png"
    picture.write_bytes(png(digit_images()[0][3]))
    no_picture = tmp_path / "text.png"
    no_picture.write_text("no picture")
    write_model(tmp_path / "model")
    keys = {"API_KEYS_FILE": str(tmp_path / "keys.json")}
    module = "package_name.serving.keys"
    create = [sys.executable, "-m", module, "create", "ana"]
    key = subprocess.run(create, env=os.environ | keys, capture_output=True, text=True, check=True)
    settings = {"environment": "production", "api_keys_file": keys["API_KEYS_FILE"]}
    with running_server(tmp_path / "model", **settings) as server:
        variables = {"SERVICE": str(server.base_url), "API_KEY": key.stdout.strip()}

        def run(*arguments: str | Path, **others: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, str(client), *map(str, arguments)]
            env = os.environ | variables | others
            return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

        assert run(picture).stdout.split()[0] == "3"
        assert run(picture, "8").stdout.splitlines()[1] == "accepted"
        for failed in (run(no_picture), run(picture, API_KEY="wrong")):
            assert failed.returncode == 1
            assert len(failed.stderr.splitlines()) == 1
