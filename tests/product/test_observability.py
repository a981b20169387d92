"""The alert rules and the dashboard, against the metrics that the service really has; its log."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..digits import digit_images
from ..serving_helpers import PNG, png, running_server

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
SERIES = re.compile(r"\b(?:http|prediction|predictions|requests|store|model)_[a-z_]+\b")


def test_alerts_and_dashboard_read_metrics_that_the_service_has(
    model_dir: Path, digit: bytes
) -> None:
    with running_server(model_dir) as client:
        assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200
        described = set(re.findall(r"# TYPE (\S+)", client.get("/metrics").text))
    endings = ("", "_bucket", "_sum", "_count")
    exist = {name + ending for name in described for ending in endings}

    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    dashboard = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    alerts = (FOLDER / "alerts.yml").read_text()
    rules = "\n".join(re.findall(r"expr: (.*?)\n +(?:for|labels):", alerts, re.DOTALL))
    for expressions in (dashboard, rules):
        named = set(SERIES.findall(expressions))
        assert len(named) > 5
        assert named <= exist


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus)"
)
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
            response = client.post("/v1/predict", content=png(image), headers=headers)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    access = [line for line in lines if line["logger"] == "access"]
    assert [line["status"] for line in access] == [200, 200, 200]
    assert access[-1]["request_id"] == response.json()["id"]
    assert {line["trace_id"] for line in access} == {trace_id}


def test_the_openapi_document_says_where_a_key_goes(model_dir: Path) -> None:
    with running_server(model_dir) as client:
        document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    operations = {path: next(iter(ways.values())) for path, ways in document["paths"].items()}
    open_to_all = {path for path, operation in operations.items() if "security" not in operation}
    assert open_to_all == {"/healthz", "/readyz"}
