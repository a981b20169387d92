"""A weak slice that the average hides is in the card, and stops the model at the gate."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from my_project.errors import UserError
from my_project.evaluation.metrics import accuracy_with_interval
from my_project.evaluation.slices import measure_slices, read_attributes, weak_slices

from .commands import command

ROOT = Path(__file__).parents[2]
READ = ("data/prepared", "data/attributes.csv", "checkpoints", "metrics", "params.yaml", "model")


def test_a_number_makes_quarters_and_a_name_makes_slices_of_its_own() -> None:
    attributes = {
        "age": np.array([str(age) for age in range(99)] + [""]),
        "class": np.array([str(index % 20) for index in range(100)]),
        "camera": np.array(["old", "new"] * 50),
        "name": np.array([f"n{index}" for index in range(100)]),
    }
    slices = measure_slices(np.arange(100) % 2 == 1, attributes)
    assert [found["attribute"] for found in slices].count("age") == 4
    assert sum(found["num_images"] for found in slices if found["attribute"] == "age") == 99
    assert [found["attribute"] for found in slices].count("class") == 20
    assert {found["attribute"] for found in slices} == {"age", "camera", "class"}
    (old,) = [found for found in slices if found["value"] == "old"]
    assert (old["accuracy"], old["is_small"]) == (0, False)
    assert all(found["is_small"] for found in slices if found["attribute"] == "age")


@pytest.mark.parametrize(("num_correct", "num_weak"), [(90, 0), (80, 0), (60, 1)])
def test_a_slice_is_weak_below_the_limit_and_beyond_chance(num_correct: int, num_weak: int) -> None:
    correct = np.arange(100) < num_correct
    slices = measure_slices(correct, {"camera": np.full(100, "old")})
    assert len(weak_slices(slices, accuracy=0.95, allowed=0.1)) == num_weak


def test_attributes_of_other_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "origins.csv").write_text("image,folder\n7,\n", encoding="utf-8")
    (tmp_path / "own.csv").write_text("image,camera\nseven,old\n", encoding="utf-8")
    with pytest.raises(UserError, match="they are called '7'"):
        read_attributes(tmp_path / "origins.csv", tmp_path / "own.csv")
    (tmp_path / "own.csv").write_text("file,camera\n7,old\n", encoding="utf-8")
    with pytest.raises(UserError, match="needs a column `image`"):
        read_attributes(tmp_path / "origins.csv", tmp_path / "own.csv")


def run(project: Path, stage: str, parameters: str = "") -> subprocess.CompletedProcess[str]:
    return command(f"stages.{stage}", cwd=project, PARAMETERS=parameters)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the stages read, in a folder of its own."""
    for name in READ:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_images_from_feedback_are_in_no_slice_and_in_no_augmented_accuracy(project: Path) -> None:
    prepared = project / "data/prepared"
    images, from_feedback = (
        np.load(prepared / f"test_{name}.npy") for name in ("images", "from_feedback")
    )
    images[:40], from_feedback[:40] = 255, True  # nobody can tell what they are
    np.save(prepared / "test_images.npy", images)
    np.save(prepared / "test_from_feedback.npy", from_feedback)
    parameters = "robustness.slices=true evaluate.test_time_augmentation=true"
    assert run(project, "set_params", parameters).returncode == 0
    assert run(project, "evaluate").returncode == 0
    metrics = json.loads((project / "metrics/evaluation.json").read_text(encoding="utf-8"))
    classes = [found for found in metrics["slices"] if found["attribute"] == "class"]
    assert sum(found["num_images"] for found in classes) == metrics["num_test"]
    assert metrics["num_test"] == len(images) - 40
    assert metrics["test_time_augmentation"]["accuracy"] > metrics["accuracy"] - 0.05
    assert metrics["production"]["accuracy"] < 0.5


def test_the_gate_stops_a_planted_weak_slice_and_lets_its_like_without_it_through(
    project: Path,
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    parameters = "robustness.slices=true robustness.max_slice_drop=0.2 "
    parameters += "evaluate.bootstrap_samples=100"
    assert run(project, "set_params", parameters).returncode == 0
    for stage in ("evaluate", "gate"):
        done = run(project, stage)
        assert done.returncode == 0, done.stdout + done.stderr

    file = project / "data/prepared/test_images.npy"
    images = np.load(file)
    images[:40] = 255 - images[:40]  # a camera that gives negatives
    np.save(file, images)
    with (project / "data/prepared/test_origins.csv").open(encoding="utf-8") as table:
        names = [row["image"] for row in csv.DictReader(table)]
    rows = [f"{name},{'old' if row < 40 else 'new'}" for row, name in enumerate(names)]
    text = "\n".join(["image,camera", *rows])
    (project / "data/attributes.csv").write_text(text, encoding="utf-8")
    assert run(project, "set_params", "gate.min_accuracy=0.5").returncode == 0
    assert run(project, "evaluate").returncode == 0
    slices = json.loads((project / "metrics/evaluation.json").read_text("utf-8"))["slices"]
    assert any(found["value"] == "old" for found in slices)
    verdict = run(project, "gate")
    assert verdict.returncode == 1
    assert "**failed**: camera old, accuracy" in verdict.stdout


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I.
    measured = accuracy_with_interval(15, 148)
    assert measured["accuracy_ci95"] == pytest.approx([0.0624, 0.1605], abs=5e-5)
