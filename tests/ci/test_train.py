"""What a project's workflows do, run by act: real jobs on a repository with an origin."""

import json
import re
import shlex
from pathlib import Path

import pytest

from .act import STAGES, Repository, change, commit, ran

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("train")]


def accuracy_difference(report: str) -> float:
    match = re.search(r"\| accuracy +\| [\d.]+ +\| [\d.]+ +\| (-?[\d.]+) +\|", report)
    assert match, report
    return float(match[1])


def test_a_better_model_passes_and_its_report_says_by_how_much(repository: Repository) -> None:
    change(repository.project, "params.yaml", {"epochs: 3": "epochs: 10"})
    commit(repository.project, "Train longer")
    done = repository.pull_request()
    assert done.returncode == 0, done.stdout
    assert ran(done.stdout) == STAGES[2:]
    report = repository.report()
    assert report.startswith("## Gate: passed")
    assert accuracy_difference(report) > 0
    assert re.search(r"\| train\.epochs +\| 3 +\| 10 +\|", report), report
    assert "in the run's summary" in done.stdout
    assert (repository.artifacts / "model/model/model.onnx").exists()
    assert (repository.artifacts / "model/reports/summary.png").exists()
    # The change that it brings makes the model of the artifact this repository's own.
    repository.project.run("git", "apply", repository.artifacts / "report/results.patch")
    metrics = "metrics/evaluation.json"
    kept = (repository.artifacts / "model" / metrics).read_text(encoding="utf-8")
    assert json.loads(repository.project.read(metrics)) == json.loads(kept)


def test_a_worse_model_fails_and_its_report_says_by_how_much(repository: Repository) -> None:
    worse = {"epochs: 3": "epochs: 1", "learning_rate: 0.01": "learning_rate: 0.0000001"}
    change(repository.project, "params.yaml", worse)
    commit(repository.project, "Hardly train")
    done = repository.pull_request()
    assert done.returncode != 0
    assert re.search(r"Failure - Main make gate", done.stdout), done.stdout
    report = repository.report()
    assert report.startswith("## Gate: failed")
    assert accuracy_difference(report) < -0.2
    assert re.search(r"\*\*failed\*\*: -\d\d\.\d+ points .* \(95 % interval -\d", report)
    assert "Success - Main make comment" in done.stdout


def test_an_unchanged_pipeline_runs_no_stage_and_opens_nothing(
    repository: Repository,
) -> None:
    done = repository.train("schedule")
    assert done.returncode == 0, done.stdout
    assert ran(done.stdout) == []
    assert "there is no pull request to open" in done.stdout
    assert branches(repository) == ["main"]


def test_parameters_given_by_hand_are_trained_and_come_back_as_a_branch(
    repository: Repository,
) -> None:
    given = "prepare.seed=1 train.epochs=10"
    done = repository.train("workflow_dispatch", "--input", f"parameters={given}")
    assert done.returncode == 0, done.stdout
    assert ran(done.stdout) == STAGES[1:]  # another split: all but fetch
    (branch,) = set(branches(repository)) - {"main"}
    assert branch.startswith("results/run-")
    show = ["git", "--git-dir", str(repository.origin), "show"]
    before = repository.project.read("params.yaml").splitlines()
    after = repository.project.run(*show, f"{branch}:params.yaml").stdout.splitlines()
    lines = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    changed = [tuple(line.partition(" #")[0] for line in pair) for pair in lines]
    assert changed == [("  seed: 0", "  seed: 1"), ("  epochs: 3", "  epochs: 10")]
    assert [old.partition(" #")[2] for old, _ in lines] == [
        new.partition(" #")[2] for _, new in lines
    ]
    lock = repository.project.run(*show, f"{branch}:dvc.lock").stdout
    assert "epochs: 10" in lock
    assert lock != repository.project.read("dvc.lock")


def test_a_parameter_that_does_not_exist_fails_before_training(repository: Repository) -> None:
    done = repository.train("workflow_dispatch", "--input", "parameters=train.epoch=$(id)")
    assert done.returncode != 0
    assert "train.epoch is not a key with a value in params.yaml" in repository.printed()
    assert ran(done.stdout) == []


def test_a_wrong_type_and_a_broken_test_fail_ci_and_nothing_is_released(
    repository: Repository,
) -> None:
    file = repository.project.path / "ci/remote.py"
    file.write_text(file.read_text("utf-8") + '\n\nNUMBER: int = "one"\n', encoding="utf-8")
    tests = keep_few_tests(repository)
    wrong = '"""Arithmetic."""\n\n\ndef test_sum() -> None:\n    assert 1 + 1 == 3\n'
    (tests / "test_arithmetic.py").write_text(wrong, encoding="utf-8")
    commit(repository.project, "Break a type and a test")
    release = ("--workflows", ".github/workflows/release.yml", "--matrix", "python:3.11")
    done = repository.act("push", *release)
    assert done.returncode != 0
    assert "Failure - Main make lint" in done.stdout
    assert "Incompatible types in assignment" in repository.printed()
    assert "Failure - Main make test" in done.stdout
    assert "test_arithmetic.py::test_sum" in repository.printed()
    assert "make image" not in done.stdout  # and nothing is released


def test_make_ci_runs_what_a_push_and_a_pull_request_start(repository: Repository) -> None:
    keep_few_tests(repository)
    commit(repository.project, "Keep few tests")
    act, *options = repository.command()
    flags = shlex.join([*options, "--matrix", "python:3.11"])
    done = repository.project.run("make", "ci", f"ACT={act}", f"ACT_FLAGS={flags}")
    assert "No findings to report" in done.stdout  # by the audit of the workflows
    assert re.search(r"\d+ passed", done.stdout)
    assert "Success - Main make gate" in done.stdout
    assert repository.report().startswith("## Gate: passed")
    assert done.stdout.count("Job succeeded") == 4, done.stdout


def keep_few_tests(repository: Repository) -> Path:
    """Leave tests that take seconds: all of them have a run of their own elsewhere."""
    tests = repository.project.path / "tests"
    for file in tests.glob("test_*.py"):
        if file.name != "test_config.py":
            file.unlink()
    return tests


def branches(repository: Repository) -> list[str]:
    listing = ["git", "--git-dir", str(repository.origin), "branch", "--format=%(refname:short)"]
    return repository.project.run(*listing).stdout.split()
