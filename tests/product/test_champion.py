"""Which models a candidate is compared with, by real git and DVC, and with which images."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from my_project.data.dataset import load_info, load_split
from my_project.evaluation.champion import find_best, find_champion, read_result
from my_project.evaluation.gate import Result, judge
from my_project.evaluation.paired import ALPHA, visible_drop

from ..test_gate import EVALUATE, GATE, make_result

PROJECT = Path(__file__).parents[2]
IMAGES = load_split(PROJECT / "data/prepared", "test").images
LABELS = load_split(PROJECT / "data/prepared", "test").labels
CLASSES = load_info(PROJECT / "data/prepared").classes


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def dvc(*arguments: str) -> None:
    run(sys.executable, "-m", "dvc", *arguments, "--quiet")


def write_result(accuracy: float, test_hash: str = "a") -> None:
    """Write an evaluation whose first images are classified correctly."""
    num_correct = round(accuracy * len(LABELS))
    metrics: dict[str, Any] = {"accuracy": accuracy, "test_hash": test_hash}
    rows = [
        f"{index},{CLASSES[label]},{CLASSES[label] if index < num_correct else '?'},0.9,0"
        for index, label in enumerate(LABELS)
    ]
    header = "index,label,prediction,confidence,from_feedback"
    for name, text in (
        ("metrics/evaluation.json", json.dumps(metrics)),
        ("reports/predictions.csv", "\n".join([header, *rows])),
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


def commit(message: str) -> str:
    run("git", "add", "--all")
    run("git", "commit", "--message", message)
    return run("git", "rev-parse", "--short", "HEAD").strip()


def result() -> Result:
    found = read_result(None)
    assert found is not None
    return found


@pytest.fixture
def champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit of a repository with the project's own model under DVC, and 50 % as its result."""
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--initial-branch", "main")
    for key, value in (("user.name", "Ana"), ("user.email", "ana@example.com")):
        run("git", "config", key, value)
    dvc("init")
    shutil.copytree(PROJECT / "model", "model")
    dvc("add", "model")
    write_result(0.5)
    return commit("The champion")


def test_the_champions_model_is_run_on_the_candidates_own_images(champion: str) -> None:
    write_result(0.7, test_hash="another")
    found, note = find_champion("main", result())
    assert found is not None
    assert (found.commit, note) == (champion, f"The champion is `main` ({champion}).")
    correct, source = found.correct_on(result(), IMAGES)
    assert source == "its model, run on the same images"
    assert correct is not None
    assert correct.mean() > 0.9  # as good as it is, whatever its stored predictions say


def test_without_its_model_the_stored_predictions_serve_on_the_same_test_set_only(
    champion: str,
) -> None:
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("model")
    write_result(0.7)
    found, _ = find_champion("main", result())
    assert found is not None
    correct, source = found.correct_on(result(), IMAGES)
    assert source.startswith("its stored predictions, since DVC has its model neither")
    assert correct is not None
    assert correct.mean() == pytest.approx(0.5, abs=0.01)
    write_result(0.7, test_hash="another")
    correct, source = found.correct_on(result(), IMAGES)
    assert correct is None
    assert source.endswith("and its test set was another one")


def test_images_of_another_size_are_not_given_to_its_model(champion: str) -> None:
    write_result(0.7, test_hash="another")
    found, _ = find_champion("main", result())
    assert found is not None
    correct, source = found.correct_on(result(), np.zeros((len(LABELS), 1, 9, 9), np.uint8))
    assert correct is None
    assert "its model takes images of the shape (1, 8, 8)" in source


def test_results_that_are_committed_are_compared_with_the_commit_before(champion: str) -> None:
    write_result(0.3)
    commit("Worse, and pushed with its results")
    found, note = find_champion("main", result())
    assert found is not None
    assert found.commit == champion
    assert note == f"The champion is `the commit before` ({champion})."


def test_a_first_push_has_no_champion(champion: str) -> None:
    assert find_champion("0" * 40, result()) == (None, "No champion: this is the first push.")


def test_many_small_drops_are_compared_with_the_best_of_all(champion: str) -> None:
    best = ""
    for accuracy in (0.6, 0.9, 0.896, 0.892, 0.888):
        write_result(accuracy)
        name = commit(f"{accuracy}")
        best = name if accuracy == 0.9 else best
    found = find_best("main", since=None)
    assert found is not None
    assert (found.commit, found.result.metrics["accuracy"]) == (best, 0.9)
    recent = find_best("main", since=best)
    assert recent is not None
    assert recent.result.metrics["accuracy"] == 0.896


def test_a_commit_with_broken_results_is_passed_over(champion: str) -> None:
    for text in ("{", "[]", "{}", '{"accuracy": "good"}', '{"accuracy": NaN}', '{"accuracy": 7}'):
        Path("metrics/evaluation.json").write_text(text, encoding="utf-8")
        commit(text)
    Path("metrics/evaluation.json").write_bytes(b"\xff")
    commit("No text")
    write_result(0.9)
    Path("reports/predictions.csv").write_text("index\n0\n", encoding="utf-8")
    commit("The best one, without its predictions")
    found = find_best("main", since=None)
    assert found is not None
    assert found.commit == champion


def test_a_project_in_a_subfolder_of_its_repository_finds_its_champion(
    champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    write_result(0.9)
    commit("A project in a subfolder")
    write_result(0.8)
    found, note = find_champion("main", result())
    assert found is not None
    assert found.result.metrics["accuracy"] == 0.9
    assert "The champion is `main`" in note


def test_what_the_recall_of_the_smallest_class_can_show_is_said() -> None:
    labels = np.array(["many"] * 900 + ["few"] * 100)
    candidate = replace(make_result(1000), labels=labels, predicted=labels.copy())
    candidate.predicted[-5:] = "many"
    candidate.metrics["per_class"] = {"many": {"support": 900}, "none": {"support": 0}}
    verdict = judge(candidate, {"the champion": labels == labels}, GATE, EVALUATE)
    (comparison,) = verdict.comparisons
    assert comparison.smallest == ("few", 100)
    assert comparison.visible_recall_drop == visible_drop(100, 0.05, ALPHA / 2 / 2)
    assert verdict.untested == ["none"]
