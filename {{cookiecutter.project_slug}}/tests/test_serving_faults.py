"""What goes wrong while requests are running costs at most the requests that it hits."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .serving_helpers import (
    clients,
    connect,
    eventually,
    head_of,
    more,
    rows,
    running_server,
)

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


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[Postgresql]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found += [Path(path) for path in [shutil.which("pg_ctl")] if path]
    if not found:
        pytest.skip("wants a PostgreSQL server (Debian: postgresql)")
    folder = Path(f"/tmp/postgresql-{os.getpid()}")  # noqa: S108 - a socket's path has to be short
    folder.mkdir()
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
    server = Postgresql(folder, found[-1])
    server.run("initdb", "-D", str(folder / "data"), "--auth=trust", "--username=test")
    server.control("start")
    yield server
    server.control("stop")
    shutil.rmtree(folder)


def test_a_database_that_stops_and_comes_back_costs_no_answer_and_no_row(
    postgresql: Postgresql, model_dir: Path, digit: bytes
) -> None:
    with running_server(model_dir, database_url=postgresql.url, num_workers=2) as server:
        with clients(server.base_url, digit) as answers:
            more(answers)
            postgresql.control("stop")
            more(answers, 200)
            postgresql.control("start")
            more(answers)
        assert set(answers) == {"200"}
        expected = [(answers["200"],)]
        assert eventually(lambda: rows(postgresql.url, COUNT) == expected), expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the tables and little more."""
    if os.name == "nt" or os.getuid() != 0:
        pytest.skip("wants root, to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_costs_no_answer_and_rows_wait_for_room(
    small_disk: Path, model_dir: Path, digit: bytes
) -> None:
    database = f"sqlite:///{small_disk / 'predictions.db'}"
    with running_server(model_dir, database_url=database) as server:
        with clients(server.base_url, digit) as answers:
            assert eventually(lambda: a_write_has_failed(server)), answers
            more(answers, 200)
            subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
            more(answers)
        assert set(answers) == {"200"}
        expected = [(answers["200"],)]
        assert eventually(lambda: rows(database, COUNT) == expected), rows(database, COUNT)


def a_write_has_failed(server: httpx.Client) -> bool:
    return re.search(r"^store_errors_total\S* [1-9]", server.get("/metrics").text, re.M) is not None


def test_what_was_taken_before_sigterm_is_answered(
    model_dir: Path, digit: bytes, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'predictions.db'}"
    with (
        running_server(model_dir, database_url=database) as server,
        clients(server.base_url, digit) as answers,
    ):
        more(answers)
        pid = process_listening_on(server.base_url.port or 0)
        os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: answers["ConnectionRefusedError"] > 0)
    # A prediction that was made and not answered would be one row too many.
    assert rows(database, COUNT) == [(answers["200"],)]
    assert not [name for name in answers if name.startswith("5")]


def process_listening_on(port: int) -> int:
    """The process to which a port of loopback belongs."""
    inode = next(
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A"  # it listens
    )
    for folder in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(folder.readlink()) == f"socket:[{inode}]":
                return int(folder.parts[2])
    raise AssertionError(f"no process listens on {port}")


def test_clients_that_send_a_byte_a_second_are_given_up_and_hold_nobody_up(
    model_dir: Path, digit: bytes
) -> None:
    head = head_of(digit)
    with (
        running_server(model_dir, max_queue_size=8, request_timeout_seconds=3) as server,
        contextlib.ExitStack() as stack,
    ):
        slow = [stack.enter_context(connect(server)) for _ in range(32)]
        in_head, in_body = slow[:16], slow[16:]
        for connection in in_body[:8]:
            connection.sendall(head)
        for connection in in_body[8:]:
            connection.sendall(head.replace(b"predict", b"feedback"))
        with clients(server.base_url, digit) as answers:
            for second in range(3):
                for connection in in_head:
                    connection.sendall(head[second : second + 1])
                for connection in in_body:
                    connection.sendall(digit[second : second + 1])
                time.sleep(1)
            more(answers)
        assert set(answers) == {"200"}
        assert {connection.recv(12)[-3:] for connection in in_body} == {b"408"}
        assert {connection.recv(12) for connection in in_head} == {b""}  # closed
        given_up = r'http_requests_total{path="/v1/(?:predict|feedback)",status="408"} 8.0'
        assert eventually(lambda: len(re.findall(given_up, server.get("/metrics").text)) == 2)


def test_each_request_of_a_connection_has_its_own_time(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    settings = {"environment": "production", "api_keys_file": tmp_path / "none.json"}
    with running_server(model_dir, request_timeout_seconds=2, **settings) as server:
        with connect(server) as connection:
            for _ in range(3):  # longer than one may take, all together
                connection.sendall(head_of(digit))
                assert connection.recv(65536)[9:12] == b"401"  # before there is a body
                time.sleep(0.5)
                connection.sendall(digit)
                time.sleep(0.5)
        with connect(server) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(65536)[9:12] == b"200"
            connection.sendall(b"\r\n")  # begins no request
            assert connection.recv(65536) == b""  # closed


def test_clients_that_hang_up_leave_nothing_behind(model_dir: Path, digit: bytes) -> None:
    head = head_of(digit)
    with running_server(model_dir) as server:
        with clients(server.base_url, digit) as answers:
            for part in (head, head + digit[:50], head + digit) * 20:
                with connect(server) as connection:
                    connection.sendall(part)
            more(answers)
        assert set(answers) == {"200"}
        # Those who hung up while they waited count as waiting no more.
        assert re.search(r"^prediction_queue_depth\S* 0\.0$", server.get("/metrics").text, re.M)
