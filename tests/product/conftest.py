"""A real PostgreSQL, for the tests that want one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


class Postgresql:
    """A PostgreSQL server of its own, reached by a socket in `folder`."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.program = program
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.url = f"postgresql+psycopg://test@/postgres?host={folder}"

    def run(self, program: str, *arguments: str) -> None:
        command = [*self.user, str(self.program.with_name(program)), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def control(self, action: str) -> None:
        options = ["-o", f"-c listen_addresses= -k {self.folder}"] if action == "start" else []
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self.run("pg_ctl", "-D", data, "-l", log, "-w", "-m", "fast", *options, action)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgresql]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found += [Path(path) for path in [shutil.which("pg_ctl")] if path]
    if not found:
        pytest.skip("there is no PostgreSQL server (Debian: postgresql)")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # a socket's path has to be short
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(name, "postgres")
        server = Postgresql(Path(name), found[-1])
        no_sync = ["--no-sync", "--auth=trust", "--username=test"]
        server.run("initdb", "-D", f"{name}/data", *no_sync)
        server.control("start")
        yield server
        server.control("stop")
