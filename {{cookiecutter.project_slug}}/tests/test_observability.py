"""The alert rules and the dashboard, against the metrics that the service really has."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from .serving_helpers import (
    digit_images,
    png,
    running_server,
    write_model,
)

FOLDER = Path(__file__).parent.parent / "deploy" / "observability"
SERIES = re.compile(r"\b(?:http|prediction|predictions|requests|store|model)_[a-z_]+\b")


def test_alerts_and_dashboard_ask_for_metrics_that_the_service_has(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    with running_server(tmp_path / "model") as client:
        picture = png(digit_images()[0][0])
        url = f"{client.base_url}/v1/predict"
        assert httpx.post(url, content=picture).status_code == 200
        described = set(re.findall(r"# TYPE (\S+)", client.get("/metrics").text))
    endings = ("", "_bucket", "_sum", "_count")
    exist = {name + ending for name in described for ending in endings}

    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    dashboard = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    rules = "\n".join(re.findall(r"expr: (.*?)\n +(?:for|labels):", _alerts(), re.DOTALL))
    for expressions in (dashboard, rules):
        asked = set(SERIES.findall(expressions))
        assert len(asked) > 5
        assert asked <= exist


@pytest.mark.skipif(shutil.which("promtool") is None, reason="wants promtool (Debian: prometheus)")
def test_alerts_fire_when_they_should_and_only_then() -> None:
    command = ["promtool", "test", "rules", "alerts.test.yml"]
    result = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def _alerts() -> str:
    return (FOLDER / "alerts.yml").read_text()
