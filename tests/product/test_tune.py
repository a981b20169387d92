"""`make tune`: killed, resumed, never on the test split, and its best values written."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The trained project's data without the test split, and its settings for one epoch."""
    shutil.copytree("data/prepared", tmp_path / "data/prepared")
    tests = list((tmp_path / "data/prepared").glob("test*"))
    assert tests
    for file in tests:
        file.unlink()
    params = Path("params.yaml").read_text(encoding="utf-8")
    one_epoch = params.replace("epochs: 30 #", "epochs: 1 #").replace("width: 32 #", "width: 8 #")
    (tmp_path / "params.yaml").write_text(one_epoch, encoding="utf-8")
    return tmp_path


def tune(project: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "my_project.measure.tune", *options]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, encoding="utf-8")


def test_a_killed_study_goes_on_and_writes_its_best_values(project: Path) -> None:
    with tune(project, "--trials", "100") as killed:
        assert killed.stdout
        assert killed.stdout.readline().startswith("trial 0: ")
        killed.kill()
    before = (project / "params.yaml").read_text(encoding="utf-8")
    with tune(project, "--trials", "3", "--write") as resumed:
        output = resumed.communicate()[0]
    assert resumed.returncode == 0
    assert "trial 0" not in output.partition("best:")[0]  # which is not run again
    with (project / "build/tune/trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 3
    assert len({row["train.learning_rate"] for row in rows}) == len(rows)
    assert (project / "build/tune/history.svg").exists()
    best = max(rows, key=lambda row: float(row["validation_accuracy"] or 0))
    after = (project / "params.yaml").read_text(encoding="utf-8")
    assert f"learning_rate: {float(best['train.learning_rate']):.3g} # peak" in after
    assert len(after.splitlines()) == len(before.splitlines())
    assert after.count("#") == before.count("#")


def test_other_data_or_settings_begin_another_study(project: Path) -> None:
    for width in (8, 6):
        params = (project / "params.yaml").read_text(encoding="utf-8")
        changed = params.replace("width: 8 #", f"width: {width} #")
        (project / "params.yaml").write_text(changed, encoding="utf-8")
        with tune(project, "--trials", "1") as run:
            assert "trial 0: " in run.communicate()[0]
