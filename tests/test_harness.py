"""What the tests rely on: a bare machine is one, and a group of tests stays on one worker."""

import shutil

import pytest

from .bare import Bare
from .workers import IN_PARALLEL


@pytest.mark.xdist_group("together")
def test_a_group_stays_on_one_worker(request: pytest.FixtureRequest) -> None:
    # pytest-xdist sends tests whose ids end alike to one worker.
    assert request.node.nodeid.endswith("@together") or not IN_PARALLEL


def test_a_bare_machine_has_neither_engines_nor_an_identity(bare: Bare) -> None:
    for program in ("docker", "chromium", "sudo", "uv"):
        assert shutil.which(program, path=bare.programs) is None
    for program in ("git", "make", "python3"):
        assert shutil.which(program, path=bare.programs)
    assert bare.run("id", "--user", cwd=bare.home).stdout != "0\n"
    assert bare.run("git", "config", "user.name", cwd=bare.home, check=False).returncode != 0
    variables = bare.run("env", cwd=bare.home, certificates=False).stdout.split()
    assert sorted(line.partition("=")[0] for line in variables) == ["HOME", "PATH"]
    bare.run("python3", "-c", "open('file', 'w')", cwd=bare.home)
    assert (bare.home / "file").exists()
