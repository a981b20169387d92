"""MLflow, where `MLFLOW_TRACKING_URI` names a server: runs, and a registry of the models.

`log` sends what the pipeline has written, after it is done: so a server that is down stops no
training. `register` gives the model to the registry, with the alias `champion`; make runs the gate
before it. `download` gets a registered model back, to be served. Needs `uv sync --group mlflow`,
which make does.
"""

import argparse
import csv
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException

from . import __name__ as NAME  # of the experiment and of the registered model
from .errors import UserError
from .files import read_json
from .metadata import ModelMetadata
from .paths import BUILD, CURVES, EVALUATION, MODEL, REPORTS, TRAINING
from .stages._main import run_main

ALIAS = "champion"
FOLDER = "model"  # of a run's artifacts
TAG = "model_sha256"


def log(client: MlflowClient) -> Run:
    """Log parameters, curves, metrics, plots and the model as a run; once for each model."""
    model = ModelMetadata.load(MODEL)
    experiment = client.get_experiment_by_name(NAME)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(NAME)
    wanted = f"tags.{TAG} = '{model.sha256}' and attributes.status = 'FINISHED'"
    if found := client.search_runs([experiment_id], wanted, max_results=1):
        return found[0]
    tags = {TAG: model.sha256, "mlflow.source.git.commit": model.commit.removesuffix("-dirty")}
    run = client.create_run(experiment_id, run_name=model.commit[:7], tags=tags)
    run_id = run.info.run_id
    params = [Param(key, str(value)) for key, value in flatten(model.params)]
    params += [Param("data_hash", model.data_hash), Param("hardware", model.hardware)]
    time_ms = int(1000 * datetime.fromisoformat(model.created).timestamp())
    client.log_batch(run_id, metrics=list(metrics(time_ms)), params=params)
    for folder, name in ((MODEL, FOLDER), (REPORTS, "reports")):
        client.log_artifacts(run_id, str(folder), name)
    client.set_terminated(run_id)
    print(f"logged to MLflow: run {run_id}")
    return client.get_run(run_id)


def metrics(time_ms: int) -> Iterator[Metric]:
    """The learning curves by their epochs, and the metrics of training and evaluation."""
    with CURVES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("epoch"))
            yield from (Metric(key, float(value), time_ms, step) for key, value in row.items())
    for path in (TRAINING, EVALUATION):
        for key, value in flatten(read_json(path)):
            if isinstance(value, int | float):
                yield Metric(key, float(value), time_ms, 0)


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by dots, such as `train.learning_rate`, without lists."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple):
            yield f"{prefix}{key}", value


def register(client: MlflowClient) -> None:
    """Make the model a version of the registered one, and the champion; once for each model."""
    run = log(client)
    run_id = run.info.run_id
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    source = f"{run.info.artifact_uri}/{FOLDER}"
    version = versions[0] if versions else client.create_model_version(NAME, source, run_id)
    client.set_registered_model_alias(NAME, ALIAS, version.version)
    print(f"registered in MLflow: {NAME}, version {version.version}, is the {ALIAS}")


def download(client: MlflowClient) -> None:
    """Get the champion's files."""
    version = client.get_model_version_by_alias(NAME, ALIAS)
    target = BUILD / ALIAS
    target.mkdir(parents=True, exist_ok=True)
    folder = client.download_artifacts(version.run_id, FOLDER, str(target))
    print(f"version {version.version} is in {folder}; MODEL_DIR={folder} make serve")


COMMANDS = {"log": log, "register": register, "download": download}


def main() -> None:
    """Run one of the commands.

    Raises:
        UserError: no server is named, it does not do what it is asked, or there is no model.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command: str = parser.parse_args().command
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise UserError("MLFLOW_TRACKING_URI is not set: it names the MLflow server")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 would take minutes
    try:
        COMMANDS[command](MlflowClient(uri))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} not found: run the pipeline first") from None
    except MlflowException as error:
        raise UserError(f"MLflow at {uri}: {str(error).splitlines()[0]}") from None


if __name__ == "__main__":
    run_main(main)
