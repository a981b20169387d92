"""MLflow's own server on SQLite: runs, the registry's champion, and a service of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from my_project.metadata import ModelMetadata

from ..serving_helpers import eventually, free_port, running_server
from .commands import command

NAME = "my_project"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of MLflow with its own database and artifacts, on loopback."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    serve = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    serve += ["--port", str(port), "--workers", "1"]
    serve += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    serve += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: answers(f"{url}/health"))
        yield url
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the pipeline has written."""
    for name in ("metrics", "model", "reports"):
        shutil.copytree(name, tmp_path / name)
    return tmp_path


def tracking(project: Path, uri: str, action: str, returncode: int = 0) -> str:
    """What `make download`, `make register` or a logged run prints."""
    variables = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = command("tracking", action, cwd=project, **variables)
    assert done.returncode == returncode, done.stdout + done.stderr
    return done.stdout if returncode == 0 else done.stderr


def test_a_run_holds_all_that_the_pipeline_has_written(project: Path, server: str) -> None:
    run_id = re.findall(r"logged to MLflow: run (\w+)", tracking(project, server, "log"))[0]
    assert tracking(project, server, "log") == ""  # of the same model once
    client = MlflowClient(server)
    run = client.get_run(run_id)
    model = ModelMetadata.load(project / "model")
    evaluation = json.loads((project / "metrics/evaluation.json").read_text(encoding="utf-8"))
    assert run.data.metrics["accuracy"] == evaluation["accuracy"]
    assert run.data.params["train.learning_rate"] == str(model.params["train"]["learning_rate"])
    assert run.data.params["data_hash"] == model.data_hash
    curve = client.get_metric_history(run_id, "validation_accuracy")
    num_epochs = len((project / "metrics/curves.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert [point.step for point in curve] == list(range(1, num_epochs + 1))
    assert "reports/confusion_matrix.png" in [
        a.path for a in client.list_artifacts(run_id, "reports")
    ]


def test_the_registrys_champion_is_served_after_one_command(project: Path, server: str) -> None:
    registered = tracking(project, server, "register")
    assert registered == tracking(project, server, "register")  # no second version
    version = MlflowClient(server).get_model_version_by_alias(NAME, "champion")
    assert f"version {version.version}, is the champion" in registered
    printed = tracking(project, server, "download")
    folder = Path(printed.rpartition("MODEL_DIR=")[2].split()[0])
    for file in ("model.onnx", "metadata.json", "samples.npz"):
        assert (folder / file).read_bytes() == (project / "model" / file).read_bytes()
    with running_server(folder) as client:
        answer = client.get("/v1/model").json()
    assert answer["sha256"] == ModelMetadata.load(project / "model").sha256


def test_a_new_model_takes_the_alias_over(project: Path, server: str) -> None:
    tracking(project, server, "register")
    client = MlflowClient(server)
    before = client.get_model_version_by_alias(NAME, "champion").version
    metadata = project / "model/metadata.json"
    sha256 = ModelMetadata.load(project / "model").sha256
    text = metadata.read_text(encoding="utf-8")
    metadata.write_text(text.replace(sha256, "0" * 64), encoding="utf-8")
    tracking(project, server, "register")
    assert client.get_model_version_by_alias(NAME, "champion").version == str(int(before) + 1)


@pytest.mark.parametrize(
    ("uri", "action", "message"),
    [
        ("", "log", "MLFLOW_TRACKING_URI is not set"),
        ("http://127.0.0.1:9", "log", "error: MLflow at http://127.0.0.1:9: "),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    uri: str, action: str, message: str, project: Path
) -> None:
    errors = tracking(project, uri, action, returncode=2)
    assert message in errors
    assert "Traceback" not in errors


def test_a_registry_without_a_champion_is_one_sentence(project: Path, tmp_path: Path) -> None:
    errors = tracking(project, f"sqlite:///{tmp_path}/empty.db", "download", returncode=2)
    assert "Registered Model with name=my_project not found" in errors


def test_without_the_variable_nothing_is_logged_or_installed() -> None:
    env = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    for variables, is_logged in ((env, False), (env | {"MLFLOW_TRACKING_URI": "http://a"}, True)):
        commands = subprocess.run(
            ["make", "--dry-run", "repro"], env=variables, capture_output=True, encoding="utf-8"
        )
        assert ("tracking" in commands.stdout) == is_logged
        assert ("--group mlflow" in commands.stdout) == is_logged
