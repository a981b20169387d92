"""Feedback on its way from the service's database to the data set."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from my_project.errors import UserError
from my_project.files import encode_png
from my_project.monitoring.accept_feedback import accept_feedback
from my_project.monitoring.export_feedback import export_feedback
from my_project.serving.records import connect, feedback, metadata, predictions

CLASSES = tuple("0123456789")
IDS = [character * 32 for character in "abc"]


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Three predictions of a 3 whose images are kept; all are said to be a 5."""
    url = f"sqlite:///{tmp_path}/predictions.db"
    engine = connect(url)
    metadata.create_all(engine)
    now = datetime.now(UTC)
    row: dict[str, Any] = {"time": now, "api_key": "ana", "label": "3"}
    row |= {"model_sha256": "", "probabilities": [0.25, 0.75], "num_bytes": 1}
    row |= {"pixel_mean": 0.0, "pixel_std": 0.0}
    with engine.begin() as connection:
        for shade, key in enumerate(IDS):
            png = encode_png(np.full((1, 8, 8), shade, np.uint8))
            connection.execute(predictions.insert(), row | {"id": key, "image": png})
            say(connection, key, "5")
    return url


def say(connection: sa.Connection, prediction_id: str, label: str) -> None:
    row = {"prediction_id": prediction_id, "label": label, "api_key": "<ben>"}
    connection.execute(feedback.insert(), row | {"time": datetime.now(UTC)})


def files(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.png"))


def test_a_later_label_leaves_no_earlier_export_behind(database: str, tmp_path: Path) -> None:
    export = tmp_path / "export"
    export_feedback(database, export)
    with connect(database).begin() as connection:
        say(connection, IDS[0], "7")
    export_feedback(database, export)
    assert files(export) == [f"5/{IDS[1]}.png", f"5/{IDS[2]}.png", f"7/{IDS[0]}.png"]


def test_a_folder_of_something_else_is_not_emptied(database: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    export_feedback(database, tmp_path / "own")  # empty, so nothing is lost
    (tmp_path / "own/feedback.json").unlink()
    before = files(tmp_path / "own")
    with pytest.raises(UserError, match="own has files that are no exported feedback"):
        export_feedback(database, tmp_path / "own")
    assert files(tmp_path / "own") == before


def test_the_sheet_shows_image_labels_confidence_and_who_said_so(
    database: str, tmp_path: Path
) -> None:
    export_feedback(database, tmp_path / "export")
    sheet = (tmp_path / "export/index.html").read_text(encoding="utf-8")
    assert f'<img src="5/{IDS[0]}.png"' in sheet
    assert "<strong>5</strong>, says &lt;ben&gt;" in sheet
    assert "the model: 3, 75.0 %" in sheet


def test_what_is_accepted_is_in_the_folder_of_its_last_label_and_nowhere_else(
    database: str, tmp_path: Path
) -> None:
    export, target = tmp_path / "export", tmp_path / "feedback"
    export_feedback(database, export)
    assert accept_feedback(export, target, CLASSES, {IDS[2]}) == 2
    assert files(target) == [f"5/{IDS[0]}.png", f"5/{IDS[1]}.png"]
    with connect(database).begin() as connection:
        say(connection, IDS[0], "7")
    export_feedback(database, export)
    assert accept_feedback(export, target, CLASSES, {IDS[1]}) == 2
    assert files(target) == [f"5/{IDS[2]}.png", f"7/{IDS[0]}.png"]


def test_nothing_is_accepted_that_is_not_understood(database: str, tmp_path: Path) -> None:
    export, target = tmp_path / "export", tmp_path / "feedback"
    with pytest.raises(UserError, match="run `make export-feedback` first"):
        accept_feedback(export, target, CLASSES, set())
    export_feedback(database, export)
    with pytest.raises(UserError, match=r"nonsense: .* has no such id"):
        accept_feedback(export, target, CLASSES, {"nonsense"})
    with pytest.raises(UserError, match="'5' is no class of the data set"):
        accept_feedback(export, target, ("3", "4"), set())
    assert not target.exists()


def test_accepted_feedback_is_under_dvc_and_a_dependency_of_prepare(
    database: str, tmp_path: Path
) -> None:
    def run(*module: str) -> str:
        command = [sys.executable, "-m", *module]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    run("dvc", "init", "--quiet")
    (tmp_path / "data/prepared").mkdir(parents=True)
    info = json.loads(Path("data/prepared/dataset.json").read_text(encoding="utf-8"))
    (tmp_path / "data/prepared/dataset.json").write_text(json.dumps(info), encoding="utf-8")
    export_feedback(database, tmp_path / "build/feedback")
    output = run("my_project.monitoring.accept_feedback", "--except", IDS[0])
    assert "data/feedback/images holds 2 images" in output
    assert (tmp_path / "data/feedback/images.dvc").exists()
    pipeline = "stages: {prepare: {cmd: echo, deps: [data/feedback]}}"
    (tmp_path / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    run("dvc", "repro", "--quiet")
    assert "changed" not in run("dvc", "status", "prepare")
    run("my_project.monitoring.accept_feedback")
    assert "data/feedback" in run("dvc", "status", "prepare")
