"""A trained project that the tests of this folder clone."""

from pathlib import Path

import pytest

from ..conftest import Bake, bake
from .act import Repository, clone, trained


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Bake:
    """A project whose first model is committed; tests work on clones of it."""
    return trained(bake(tmp_path_factory.mktemp("champion"), environment=environment))


@pytest.fixture
def repository(champion: Bake, tmp_path: Path) -> Repository:
    """A clone with an origin of its own."""
    return clone(champion, tmp_path)
