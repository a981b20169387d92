"""The workflow that looks for drift, run by act: a real database, and a stand-in for GitHub."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..product.github import GitHub, stand_in
from .act import Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("train")]

# Stores predictions of as many test images as there are, seen through a filter.
STORE = """
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from my_project.data.dataset import load_split
from my_project.serving.predictor import Predictor
from my_project.serving.records import connect, metadata, predictions

predictor = Predictor.load(Path("model"), 1)
images = (load_split(Path("data/prepared"), "test").images * float(sys.argv[2])).astype(np.uint8)
engine = connect(sys.argv[1])
metadata.create_all(engine)
with engine.begin() as connection:
    connection.execute(predictions.delete())
    for number, (image, row) in enumerate(zip(images, predictor.predict(images))):
        connection.execute(predictions.insert(), {
            "id": str(number), "time": datetime.now(UTC), "num_bytes": 1, "api_key": None,
            "model_sha256": predictor.metadata.sha256, "image": None,
            "label": predictor.metadata.classes[row.argmax()], "probabilities": row.tolist(),
            "pixel_mean": image.mean(), "pixel_std": image.std(),
        })
"""


@pytest.fixture
def github() -> Iterator[GitHub]:
    with stand_in() as found:
        yield found


def monitor(
    repository: Repository, github: GitHub, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run monitor.yml with a gh that finds the stand-in."""
    return repository.act(
        *("workflow_dispatch", "--workflows", ".github/workflows/monitor.yml"),
        *repository.on_github(github),
        *arguments,
    )


def test_without_a_database_the_summary_says_what_to_set_and_nothing_fails(
    repository: Repository, github: GitHub
) -> None:
    done = monitor(repository, github)
    assert done.returncode == 0, done.stdout
    # act hides the token, which is the word in between
    assert re.search(r"Summary - Nothing is monitored: set .* `MONITOR_DATABASE_URL`", done.stdout)
    assert "make drift" not in done.stdout
    assert github.issues == []


def test_drift_opens_an_issue_with_the_report_and_starts_training(
    repository: Repository, github: GitHub, tmp_path: Path
) -> None:
    project, url = repository.project, f"sqlite:///{tmp_path}/predictions.db"
    secret = ("--secret", f"MONITOR_DATABASE_URL={url}")
    retrain = ("--var", "RETRAIN_ON_DRIFT=yes")
    store = ("uv", "run", "python", "-c", STORE, url)

    project.run(*store, "1.0")
    done = monitor(repository, github, *secret, *retrain)
    assert done.returncode == 0, done.stdout
    assert "## Drift: none found" in repository.printed()
    assert (github.issues, github.started) == ([], [])

    project.run(*store, "0.5")
    for _ in range(2):
        done = monitor(repository, github, *secret, *retrain)
        assert done.returncode == 0, done.stdout
    [issue] = github.issues
    assert issue["body"].startswith("## Drift: found\n")
    assert "| brightness |" in issue["body"]
    assert github.started == [("train.yml", "main")] * 2
    assert (repository.artifacts / "drift/drift.png").exists()


def test_an_error_fails_the_workflow_and_is_no_drift(
    repository: Repository, github: GitHub, tmp_path: Path
) -> None:
    done = monitor(repository, github, "--secret", f"MONITOR_DATABASE_URL=sqlite:///{tmp_path}/no")
    assert done.returncode != 0
    assert "error: the database of DATABASE_URL cannot be read" in repository.printed()
    assert github.issues == []
