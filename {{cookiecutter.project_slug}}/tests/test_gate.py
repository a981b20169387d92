"""The gate: its decision on arrays, and its command as CI runs it, in a git repository."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from package_name.config import EvaluateConfig, GateConfig
from package_name.evaluation.champion import find_champion
from package_name.evaluation.gate import Result, Verdict, judge
from package_name.evaluation.paired import paired_interval

PARAMS = Path(__file__).parents[1] / "params.yaml"
GATE = GateConfig(min_accuracy=0.9, max_accuracy_drop=0.01, max_recall_drop=0.05, best_since=None)
EVALUATE = EvaluateConfig(bootstrap_samples=500, num_bins=15, test_time_augmentation=False, seed=0)


def make_result(num_correct: int, num_images: int = 1000, test_hash: str = "a") -> Result:
    """Make a result that is right on the first `num_correct` images."""
    correct = np.arange(num_images) < num_correct
    accuracy = num_correct / num_images
    metrics: dict[str, Any] = {
        name: value
        for key in ("accuracy", "f1_macro", "nll", "ece")
        for name, value in ((key, accuracy), (f"{key}_ci95", [accuracy, accuracy]))
    }
    metrics |= {"test_hash": test_hash, "ece_chance": 0, "num_test": num_images, "production": None}
    labels = np.full(num_images, "yes")
    return Result(metrics, labels, np.where(correct, labels, "no"), labels == "feedback")


def verdict_of(candidate: Result, champion: Result | None) -> Verdict:
    earlier = {"the champion": champion.correct} if champion else {}
    return judge(candidate, earlier, GATE, EVALUATE)


@pytest.mark.parametrize(("num_correct", "passed"), [(900, True), (899, False)])
def test_the_floor_alone_decides_without_a_champion(num_correct: int, passed: bool) -> None:
    assert verdict_of(make_result(num_correct), None).passed is passed


@pytest.mark.parametrize(("num_correct", "passed"), [(960, True), (950, True), (949, False)])
def test_a_candidate_may_be_worse_than_the_champion_by_the_allowed_drop_only(
    num_correct: int, passed: bool
) -> None:
    assert verdict_of(make_result(num_correct), make_result(960)).passed is passed


def test_a_bad_champion_does_not_lower_the_floor() -> None:
    assert verdict_of(make_result(850), make_result(800)).passed is False


def test_a_drop_that_may_be_chance_does_not_stop_a_candidate() -> None:
    (comparison,) = verdict_of(make_result(96, 100), make_result(99, 100)).comparisons
    assert comparison.accuracy.difference == pytest.approx(-0.03)
    assert comparison.accuracy.p_value == pytest.approx(1 / 8)
    assert comparison.passed
    assert comparison.visible_drop > 0.03


def test_the_paired_interval_of_equal_models_is_zero() -> None:
    correct = make_result(700).correct
    assert paired_interval(correct, correct, num_samples=500, seed=0) == (0, 0)


def test_the_paired_interval_agrees_with_resampling_the_images() -> None:
    rng = np.random.default_rng(0)
    candidate, champion = rng.random(400) < 0.9, rng.random(400) < 0.8
    rows = rng.integers(400, size=(4000, 400))
    differences = candidate[rows].mean(axis=1) - champion[rows].mean(axis=1)
    expected = np.percentile(differences, [2.5, 97.5])
    interval = paired_interval(candidate, champion, num_samples=4000, seed=1)
    np.testing.assert_allclose(interval, expected, atol=0.006)


def write_evaluation(folder: Path, num_correct: int) -> None:
    result = make_result(num_correct)
    rows = [f"{i},yes,{name},0.9,0" for i, name in enumerate(result.predicted)]
    for name, text in (
        ("metrics/evaluation.json", json.dumps(result.metrics)),
        (
            "reports/predictions.csv",
            "\n".join(["index,label,prediction,confidence,from_feedback", *rows]),
        ),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def run_gate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "package_name.stages.gate", *arguments],
        cwd=folder,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parents[1])},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder with the project's parameters and a candidate with an accuracy of 98.0 %."""
    params = re.sub(
        r"min_accuracy: [\d.]+", "min_accuracy: 0.9", PARAMS.read_text(encoding="utf-8")
    )
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    write_evaluation(tmp_path, 980)
    (tmp_path / "data/prepared").mkdir(parents=True)
    for name in ("images", "labels"):
        np.save(tmp_path / f"data/prepared/test_{name}.npy", np.zeros((1000, 1, 8, 8), np.uint8))
    return tmp_path


@pytest.fixture
def repository(project: Path) -> Path:
    """Make the project a git repository whose `main` holds the 98.0 % as the champion."""
    git(project, "init", "--initial-branch", "main")
    git(project, "add", ".")
    git(project, "commit", "--message", "champion")
    return project


def test_a_worse_candidate_exits_with_1_and_leaves_the_verdict(repository: Path) -> None:
    write_evaluation(repository, 930)
    done = run_gate(repository, "--champion", "main")
    assert done.returncode == 1
    assert "## Gate: failed" in done.stdout
    assert "- **failed**: -5.00 points compared with the champion" in done.stdout
    assert "allowed drop: 0.50 points" in done.stdout
    assert (repository / "build/gate.md").read_text(encoding="utf-8") == done.stdout


def test_a_better_candidate_passes(repository: Path) -> None:
    write_evaluation(repository, 985)
    done = run_gate(repository, "--champion", "main")
    assert (done.returncode, done.stderr) == (0, "")
    assert "+0.50 points compared with the champion" in done.stdout
    assert "recall of yes, with 1,000 test images the smallest class: a drop of" in done.stdout


def test_without_git_the_floor_alone_decides_and_the_verdict_says_so(project: Path) -> None:
    done = run_gate(project)
    assert done.returncode == 0
    assert "there is no `origin/main` here. The floor alone decides." in done.stdout


def test_a_revision_without_metrics_is_no_champion(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(project, "init", "--initial-branch", "main")
    git(project, "add", "params.yaml")
    git(project, "commit", "--message", "start")
    monkeypatch.chdir(project)
    champion, note = find_champion("main", make_result(980))
    assert champion is None
    assert "`main` has no metrics yet" in note


def test_a_mistyped_revision_is_one_sentence_and_not_a_pass(repository: Path) -> None:
    done = run_gate(repository, "--champion", "mian")
    assert done.returncode == 2
    assert done.stderr == "error: --champion mian: git knows no such revision\n"


def test_a_missing_evaluation_says_what_to_run(project: Path) -> None:
    (project / "metrics/evaluation.json").unlink()
    done = run_gate(project)
    assert done.returncode == 2
    assert "dvc repro evaluate" in done.stderr
    assert "Traceback" not in done.stderr
