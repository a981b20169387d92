"""The report: two sides compared on dictionaries, and written by a process in a git repository."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from my_project.evaluation.cards import METRICS
from my_project.evaluation.report import Side, report

CURVES = "epoch,validation_accuracy\n"


def make_side(accuracy: float, epochs: int = 3, digest: str = "a" * 32) -> Side:
    metrics: dict[str, Any] = {key: accuracy for key, _ in METRICS}
    metrics["per_class"] = {"cat": {"f1": accuracy}, "dog": {"f1": 0.5}}
    entry = {"path": "data/raw", "md5": digest, "size": 10, "nfiles": 2}
    lock = {"stages": {"fetch": {"outs": [entry]}, "train": {"params": epochs}}}
    curves = CURVES + "".join(f"{epoch},{epoch / epochs}\n" for epoch in range(1, epochs + 1))
    return Side(metrics, {"train": {"epochs": epochs, "seed": 0}}, lock, curves)


def test_metrics_stand_side_by_side_with_their_difference() -> None:
    text = report("## Gate: passed", make_side(0.97), make_side(0.95))
    assert text.startswith("## Gate: passed\n")
    assert "| accuracy | 0.9500 | 0.9700 | +0.0200 |" in text


def test_only_classes_and_parameters_that_changed_are_listed() -> None:
    text = report("", make_side(0.97, epochs=5), make_side(0.95, epochs=3))
    assert "| `train.epochs` | 3 | 5 | +2 |" in text
    assert "train.seed" not in text
    assert "| cat | 0.9500 | 0.9700 | +0.0200 |" in text
    assert "| dog |" not in text


def test_changed_data_and_stages_are_named() -> None:
    text = report("", make_side(0.9, digest="b" * 32), make_side(0.9))
    assert "| `data/raw` | 10 bytes in 2 files, `aaaaaaaa` | 10 bytes in 2 files" in text
    assert "`bbbbbbbb` | **changed** |" in text
    assert "than the champion's: `fetch`." in text


def test_nothing_changed_is_said_in_every_section() -> None:
    text = report("", make_side(0.9), make_side(0.9))
    assert "None: F1 is the same for every class." in text
    assert "None changed." in text
    assert "| unchanged |" in text
    assert "than the champion's: none." in text


def test_without_a_champion_the_candidate_stands_alone() -> None:
    text = report("", make_side(0.9), None)
    assert "| metric | candidate |" in text
    assert "| `train.epochs` | 3 |" in text


@pytest.mark.parametrize("epochs", [1, 3, 500])
def test_curves_are_a_chart_of_at_most_forty_points(epochs: int) -> None:
    text = report("", make_side(0.9, epochs=epochs), None)
    (line,) = [line for line in text.splitlines() if line.startswith("    line [")]
    values = [float(value) for value in line.removeprefix("    line [").rstrip("]").split(",")]
    assert len(values) == min(epochs, 40)
    assert values[-1] == 100


def write_side(folder: Path, side: Side) -> None:
    for name, text in (
        ("metrics/evaluation.json", json.dumps(side.metrics)),
        ("metrics/curves.csv", side.curves),
        ("params.yaml", yaml.safe_dump(side.params)),
        ("dvc.lock", yaml.safe_dump(side.lock)),
        ("build/gate.md", "## Gate: passed\n"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def run_report(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    module = "my_project.stages.report"
    return subprocess.run(
        [sys.executable, "-m", module, "--champion", "main"],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        encoding="utf-8",
    )


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_champion_comes_from_git_and_the_report_goes_to_the_summary(tmp_path: Path) -> None:
    write_side(tmp_path, make_side(0.9))
    git(tmp_path, "init", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "champion")
    write_side(tmp_path, make_side(0.8))
    summary = tmp_path / "summary.md"
    summary.write_text("of the step before\n", encoding="utf-8")
    done = run_report(tmp_path, GITHUB_STEP_SUMMARY=str(summary))
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "build/report.md").read_text(encoding="utf-8")
    assert "| accuracy | 0.9000 | 0.8000 | -0.1000 |" in text
    assert summary.read_text(encoding="utf-8") == "of the step before\n" + text


def test_without_a_verdict_the_report_says_what_to_run(tmp_path: Path) -> None:
    done = run_report(tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: build/gate.md not found: run `make gate` first\n"
