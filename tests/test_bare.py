"""What the tests call a bare machine is one."""

import shutil

from .conftest import Bare


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
