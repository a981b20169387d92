"""The generated code holds to the style and the types that it declares."""

import re
from pathlib import Path

import pytest

from .bakes import Bake, BakeOf, activated, mypy_cache

# What the choices change in Python code: the data set nothing, the package's name all imports, the
# server and the target some files.
BAKES = ["default", "image-folder", "long-package-name", "torchserve", "kubernetes"]
MAX_MODULE_LINES = 200

pytestmark = pytest.mark.slow


@pytest.fixture(params=BAKES)
def project(request: pytest.FixtureRequest, bake_of: BakeOf) -> Bake:
    """Each bake whose Python code differs from another's."""
    return bake_of(request.param)


def test_ruff_has_no_finding(project: Bake, environment: Path) -> None:
    project.run("ruff", "check", "--no-cache", ".", env=activated(environment, project))


def test_code_is_formatted(project: Bake, environment: Path) -> None:
    project.run("ruff", "format", "--no-cache", "--check", ".", env=activated(environment, project))


@pytest.mark.xdist_group("mypy")
def test_strict_mypy_has_no_finding(project: Bake, environment: Path) -> None:
    project.run("mypy", env=activated(environment, project) | mypy_cache(environment))


@pytest.mark.parametrize("server", ["default", "torchserve"])
def test_no_module_is_longer_than_can_be_read_at_one_sitting(server: str, bake_of: BakeOf) -> None:
    source = bake_of(server).path / "src"
    lengths = {
        path.relative_to(source).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in source.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_imports_inside_the_package_are_relative(bake_of: BakeOf) -> None:
    project = bake_of("default")
    absolute = re.compile(rf"^ *(from|import) {project.package}\b", re.MULTILINE)
    sources = (project.path / "src").rglob("*.py")
    assert [path for path in sources if absolute.search(path.read_text(encoding="utf-8"))] == []
