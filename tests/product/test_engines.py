"""A real PostgreSQL that stops and comes back, and a disk that is really full."""

import functools
import os
import shutil
import subprocess
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
from .conftest import Postgresql

__all__ = [
    "test_every_prediction_is_stored_without_its_image",
    "test_feedback_on_a_kept_image_becomes_a_file_in_the_folder_of_its_true_class",
]

COUNT = "SELECT count(*) FROM predictions"


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
