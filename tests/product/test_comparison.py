"""What a change does to the model: two sides compared, and a process in a git repository."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from my_project.reporting.comparison import Side, compare

from .commands import command

CURVES = "epoch,validation_accuracy\n"
METRICS = """
| Path | Metric | main | workspace | Change |
|------|--------|------|-----------|--------|
| metrics/evaluation.json | accuracy | 0.95 | 0.97 | 0.02 |
| metrics/evaluation.json | per_class.cat.f1 | 0.95 | 0.97 | 0.02 |

"""
UNCHANGED = "| Path | Metric |\n|------|--------|\n"


def make_lock(epochs: int = 3, digest: str = "a" * 32) -> dict[str, Any]:
    entry = {"path": "data/raw", "hash": "md5", "md5": f"{digest}.dir", "size": 10, "nfiles": 2}
    fetch = {"cmd": "fetch", "outs": [entry]}
    train = {"cmd": "train", "params": {"params.yaml": {"train.epochs": epochs}}}
    return {"schema": "2.0", "stages": {"fetch": fetch, "train": train}}


def make_curves(epochs: int) -> str:
    return CURVES + "".join(f"{epoch},{epoch / epochs}\n" for epoch in range(1, epochs + 1))


def make_side(epochs: int = 3, digest: str = "a" * 32) -> Side:
    return Side.from_text(yaml.safe_dump(make_lock(epochs, digest)), make_curves(epochs))


def test_metrics_stand_side_by_side_and_those_by_class_come_last() -> None:
    text = compare("## Gate: passed\n", make_side(), make_side(), metrics=METRICS, params="")
    assert text.startswith("## Gate: passed\n")
    before, _, last = text.partition("<details>")
    assert "| accuracy | 0.95 | 0.97 | 0.02 |" in before
    assert "per_class" not in before
    assert "|--------|\n| metrics/evaluation.json | per_class.cat.f1 | 0.95" in last


def test_changed_data_and_stages_are_named() -> None:
    text = compare("", make_side(digest="b" * 32), make_side(), metrics="", params="")
    assert "| `data/raw` | 10 bytes in 2 files, `aaaaaaaa` | 10 bytes in 2 files" in text
    assert "`bbbbbbbb` | **changed** |" in text
    assert "than the champion's: `fetch`." in text


def test_every_section_says_if_nothing_changed() -> None:
    text = compare("", make_side(), make_side(), metrics=UNCHANGED, params=UNCHANGED)
    assert text.count("None changed.") == 2
    assert "| unchanged |" in text
    assert "than the champion's: none." in text
    assert "by class" not in text


def test_without_a_champion_the_candidate_stands_alone() -> None:
    text = compare("", make_side(), None, metrics="", params="")
    assert "### Metrics" not in text
    assert "| `data/raw` | none | 10 bytes in 2 files" in text
    assert text.count("    line [") == 1


@pytest.mark.parametrize("epochs", [1, 3, 500])
def test_curves_are_a_chart_of_at_most_forty_points(epochs: int) -> None:
    text = compare("", make_side(epochs=epochs), None, metrics="", params="")
    (line,) = [line for line in text.splitlines() if line.startswith("    line [")]
    values = [float(value) for value in line.removeprefix("    line [").rstrip("]").split(",")]
    assert len(values) == min(epochs, 40)
    assert values[-1] == 100


def write_side(folder: Path, accuracy: float, epochs: int) -> None:
    for name, text in (
        ("metrics/evaluation.json", json.dumps({"accuracy": accuracy})),
        ("metrics/curves.csv", make_curves(epochs)),
        ("reports/predictions.csv", "label,prediction\n3,3\n"),
        ("params.yaml", yaml.safe_dump({"train": {"epochs": epochs, "seed": 0}})),
        ("dvc.yaml", yaml.safe_dump({"metrics": ["metrics/evaluation.json"]})),
        ("dvc.lock", yaml.safe_dump(make_lock(epochs))),
        ("build/gate.md", "## Gate: passed\n"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def run_compare(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return command("stages.compare", "--champion", "main", cwd=folder, **variables)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_champion_comes_from_git_and_the_comparison_goes_to_the_summary(tmp_path: Path) -> None:
    write_side(tmp_path, 0.9, epochs=3)
    git(tmp_path, "init", "--initial-branch", "main")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "champion")
    write_side(tmp_path, 0.8, epochs=5)
    summary = tmp_path / "summary.md"
    summary.write_text("of the step before\n", encoding="utf-8")
    done = run_compare(tmp_path, GITHUB_STEP_SUMMARY=str(summary))
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "build/report.md").read_text(encoding="utf-8")
    assert re.search(r"\| accuracy +\| 0\.9 +\| 0\.8 +\| -0\.1 +\|", text), text
    assert re.search(r"\| train\.epochs +\| 3 +\| 5 +\|", text), text
    assert "train.seed" not in text
    assert summary.read_text(encoding="utf-8") == "of the step before\n" + text


def test_without_a_verdict_it_says_what_to_run(tmp_path: Path) -> None:
    done = run_compare(tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: build/gate.md not found: run `make gate` first\n"
