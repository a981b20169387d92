"""A trained project that the tests of this folder clone."""

from pathlib import Path

import pytest

from ..bakes import Bake, bake, read_bake
from ..workers import once
from .act import Repository, clone, trained


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Bake:
    """A project whose first model is committed; tests work on clones of it."""

    def fill(folder: Path) -> None:
        (folder / "project").mkdir()
        project = trained(bake(folder / "project", environment=environment))
        (folder / "output.txt").write_text(project.output, encoding="utf-8")

    project = read_bake(once(tmp_path_factory, "champion", fill))
    return Bake(project.path, project.output, environment)


@pytest.fixture
def repository(champion: Bake, tmp_path: Path) -> Repository:
    """A clone with an origin of its own."""
    return clone(champion, tmp_path)
