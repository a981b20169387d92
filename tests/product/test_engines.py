"""A real PostgreSQL that stops and comes back, and a disk that is really full."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..serving_helpers import eventually, rows, running_server
from ..test_production import (  # the owner's tests, run here on PostgreSQL and with two workers
    test_every_prediction_is_stored_without_its_image,
    test_feedback_on_a_kept_image_becomes_a_file_in_the_folder_of_its_true_class,
)
from .clients import clients, metric, more

__all__ = [
    "test_every_prediction_is_stored_without_its_image",
    "test_feedback_on_a_kept_image_becomes_a_file_in_the_folder_of_its_true_class",
]

COUNT = "SELECT count(*) FROM predictions"


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


@pytest.fixture(scope="module")
def database(postgresql: Postgresql) -> str:
    return postgresql.url


@pytest.fixture(scope="module")
def client(model_dir: Path, database: str) -> Iterator[httpx.Client]:
    with running_server(model_dir, database_url=database, num_workers=2) as client:
        yield client


def test_a_database_that_stops_and_comes_back_costs_no_prediction_and_no_row(
    postgresql: Postgresql, client: httpx.Client, digit: bytes
) -> None:
    [(before,)] = rows(postgresql.url, COUNT)
    with clients(client.base_url, digit) as results:
        more(results)
        postgresql.control("stop")
        more(results, 200)
        postgresql.control("start")
        more(results)
    assert set(results) == {"200"}
    expected = [(before + results["200"],)]
    assert eventually(lambda: rows(postgresql.url, COUNT) == expected), expected


@functools.cache
def as_root() -> list[str] | None:
    """What to put before a command that only root may run; None where nothing helps."""
    if os.name == "nt":
        return None
    if os.getuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    has_sudo = shutil.which("sudo") and not subprocess.run([*sudo, "true"]).returncode
    return sudo if has_sudo else None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the tables and little more."""
    sudo = as_root()
    if sudo is None:
        pytest.skip("only root, or who may use sudo, can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size=160k,uid={os.getuid()}"
    subprocess.run([*sudo, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    yield folder
    subprocess.run([*sudo, "umount", "--lazy", folder], check=True)


def test_a_full_disk_costs_no_prediction_and_rows_wait_for_room(
    small_disk: Path, model_dir: Path, digit: bytes
) -> None:
    database = f"sqlite:///{small_disk / 'predictions.db'}"
    with running_server(model_dir, database_url=database) as server:
        with clients(server.base_url, digit) as results:
            assert eventually(lambda: metric(server, "store_errors_total") > 0), results
            more(results, 200)
            remount = ["mount", "-o", "remount,size=64m", str(small_disk)]
            subprocess.run([*(as_root() or []), *remount], check=True)
            more(results)
        assert set(results) == {"200"}
        expected = [(results["200"],)]
        assert eventually(lambda: rows(database, COUNT) == expected), rows(database, COUNT)
