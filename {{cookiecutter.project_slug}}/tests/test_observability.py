"""The alert rules and the dashboard, against the metrics that the service really has; its log."""

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


def test_every_prediction_is_one_line_of_json_in_the_log(
    model_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    with running_server(model_dir) as client:
        for image in digit_images()[0][:3]:
            answer = client.post("/v1/predict", content=png(image), headers=headers)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    access = [line for line in lines if line["logger"] == "access"]
    assert [line["status"] for line in access] == [200, 200, 200]
    assert access[-1]["request_id"] == answer.json()["id"]
    assert {line["trace_id"] for line in access} == {trace_id}


def _alerts() -> str:
    return (FOLDER / "alerts.yml").read_text()
