"""Bakes of the template, and how to run things in them."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

TEMPLATE = Path(__file__).parent.parent
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
# One bake for each choice that differs from the default.
CHOICES: dict[str, dict[str, str]] = {
    "default": {},
    "fashion-mnist": {"dataset": "fashion-mnist"},
    "cifar10": {"dataset": "cifar10"},
    "image-folder": {"dataset": "image-folder"},
    "s3": {"dvc_remote": "s3", "dvc_remote_url": "s3://bucket/folder"},
    "gs": {"dvc_remote": "gs", "dvc_remote_url": "gs://bucket/folder"},
    "azure": {"dvc_remote": "azure", "dvc_remote_url": "azure://container/folder"},
    "ssh": {"dvc_remote": "ssh", "dvc_remote_url": "ssh://me@example.com/srv/dvc"},
    "python-3.13": {"python_version": "3.13"},
    "torchserve": {"serving": "torchserve"},
    "kubernetes": {"deploy_target": "kubernetes"},
    "apache": {"license": "Apache-2.0"},
    "proprietary": {"license": "Proprietary"},
    "long-package-name": {"package_name": "a_name_that_takes_all_forty_letters_it_may"[:40]},
}

BakeOf = Callable[[str], "Bake"]


@dataclass(frozen=True)
class Bake:
    """A generated project, and how to run things in it.

    environment: the virtual environment that `make` and `uv run` use; if None, the project's own.
    """

    path: Path
    output: str  # what generating it printed
    environment: Path | None = None

    @property
    def package(self) -> str:
        """Name of the package in `src/`."""
        return next(init.parent.name for init in self.path.glob("src/*/__init__.py"))

    def read(self, name: str) -> str:
        """The text of one file."""
        return (self.path / name).read_text(encoding="utf-8")

    def files(self) -> set[str]:
        """All files but git's own."""
        paths = (path for path in self.path.rglob("*") if path.is_file())
        names = {path.relative_to(self.path).as_posix() for path in paths}
        return {
            name for name in names if not name.startswith(".git/") and "__pycache__" not in name
        }

    def copy(self, folder: Path) -> "Bake":
        """A project in another folder with this one's files, data and installed environment."""
        path = folder / "project"
        names = (".venv", ".dvc", ".git", "build", "checkpoints", "metrics", ".*_cache")
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns(*names))
        (path / ".venv").symlink_to(self.path / ".venv")
        return Bake(path, "")

    def run(
        self, *command: str | Path, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; unless `check` is false, a failure shows its output."""
        own = {}
        if self.environment:
            own = {"UV_PROJECT_ENVIRONMENT": str(self.environment)} | mypy_cache(self.environment)
        return run(*command, cwd=self.path, env=own | dict(env or {}), check=check)


def run(
    *command: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command, with `env` on top of the tests' own environment."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment() | dict(env or {}),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if check and result.returncode != 0:
        pytest.fail(f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result


def clean_environment() -> dict[str, str]:
    """The environment of a user: not in the tests' virtual environment, with uv on the path."""
    ours = {"VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTHONPATH"}
    ours |= {"PYTHONDONTWRITEBYTECODE"}  # each start would compile all of PyTorch again
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    path = environment["PATH"].split(os.pathsep)
    without_ours = [folder for folder in path if Path(folder) != Path(sys.executable).parent]
    environment["PATH"] = os.pathsep.join([str(Path(os.environ["UV"]).parent), *without_ours])
    return environment


@cache
def clone() -> Path:
    """A copy of the template's files as they are now, as a fresh clone would hold them."""
    folder = Path(tempfile.mkdtemp(prefix="dl-portfolio-"))
    atexit.register(shutil.rmtree, folder)
    # Not a folder's whole content: a linter's cache, say, is no part of the template.
    names = run("git", "ls-files", "-zco", "--exclude-standard", cwd=TEMPLATE).stdout.split("\0")
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TEMPLATE / name, folder / name)
    return folder


def generate(
    folder: Path, answers: Mapping[str, str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Call cookiecutter as a user does, with these answers and no questions."""
    given = [f"{question}={answer}" for question, answer in answers.items()]
    # --default-config: a person's ~/.cookiecutterrc would change the defaults.
    options = ["--no-input", "--default-config", "--output-dir", str(folder)]
    command = [sys.executable, "-m", "cookiecutter", str(clone()), *options, *given]
    return run(*command, cwd=folder, env=env, check=False)


def bake(
    folder: Path,
    answers: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    environment: Path | None = None,
) -> Bake:
    """Generate a project in a folder, which has to work."""
    before = set(folder.iterdir())
    result = generate(folder, answers or {}, env)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = set(folder.iterdir()) - before
    return Bake(path, result.stdout, environment)


def read_bake(folder: Path) -> Bake:
    """The project that `once` has put into a folder, and what making it printed."""
    (file,) = (folder / "project").glob("*/pyproject.toml")
    return Bake(file.parent, (folder / "output.txt").read_text(encoding="utf-8"))


def mypy_cache(environment: Path) -> dict[str, str]:
    """The variable by which all projects of a worker share what mypy knows of the libraries."""
    return {"MYPY_CACHE_DIR": str(environment.parent / "mypy")}


def activated(environment: Path, project: Bake) -> dict[str, str]:
    """The variables under which `python` is the environment's, with the project importable."""
    path = os.pathsep.join([str(environment / SCRIPTS), clean_environment()["PATH"]])
    return {"PATH": path, "PYTHONPATH": str(project.path / "src")}


def missing(what: str) -> NoReturn:
    """Skip a test for which the machine lacks something, and say what; under CI, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; CI has to have it")
    pytest.skip(what)


def shared_data() -> Path:
    """The folder with real data sets, next to this repository or named by DL_PORTFOLIO_DATA."""
    folder = Path(os.environ.get("DL_PORTFOLIO_DATA", TEMPLATE.parent / "shared/data"))
    if not (folder / "fashion-mnist").is_dir():
        missing(f"Fashion-MNIST's four files are not in {folder}/fashion-mnist (DL_PORTFOLIO_DATA)")
    return folder
