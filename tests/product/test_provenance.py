"""What counts as the code that decides a model: what dvc.yaml names, and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
from my_project.config import load_config
from my_project.data.dataset import load_info
from my_project.paths import PREPARED
from my_project.provenance import current_commit, run_fingerprint
print(current_commit(), run_fingerprint(load_config(), load_info(PREPARED)))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's code and the description of its data, committed."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data/prepared").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml", "data/prepared/dataset.json"):
        shutil.copy(ROOT / name, folder / name)
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "all")):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def committed(project: Path) -> tuple[str, str]:
    commit, fingerprint = origin(project)
    assert len(commit) == 40
    return commit, fingerprint


def origin(project: Path) -> tuple[str, str]:
    """The commit that a model of this project would name, and the fingerprint of a run."""
    variables = os.environ | {"PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SCRIPT]
    printed = subprocess.check_output(command, cwd=project, env=variables, encoding="utf-8")
    commit, fingerprint = printed.split()
    return commit, fingerprint


def origin_after_editing(project: Path, module: str) -> tuple[str, str]:
    path = project / "src/my_project" / module
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "# edited\n", encoding="utf-8")
    try:
        return origin(project)
    finally:
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("module", ["training/loop.py", "preprocess.py"])
def test_a_model_of_edited_code_is_dirty_and_a_run_of_other_code_is_not_resumed(
    project: Path, committed: tuple[str, str], module: str
) -> None:
    commit, fingerprint = origin_after_editing(project, module)
    assert commit == f"{committed[0]}-dirty"
    assert fingerprint != committed[1]


@pytest.mark.parametrize("module", ["serving/app.py", "reporting/cards.py"])
def test_code_that_does_not_decide_a_model_may_be_edited(
    project: Path, committed: tuple[str, str], module: str
) -> None:
    assert origin_after_editing(project, module) == committed
