"""A generated project, as the benchmarks use it."""

import functools
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cookiecutter.main import cookiecutter

from scripts.demo import TEMPLATE, project_environment


@dataclass(frozen=True)
class Measured:
    """What a command took and printed: wall time, largest resident memory, standard output."""

    seconds: float
    peak_mb: float
    output: str


@contextmanager
def generated(answers: Mapping[str, str] | None = None) -> Iterator[Path]:
    """A fresh project with these answers, in a folder of its own that goes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield generate(Path(folder), answers or {})


def generate(folder: Path, answers: Mapping[str, str]) -> Path:
    """Make a project with these answers in a folder, and give its own folder there."""
    context = dict(answers)
    return Path(
        cookiecutter(str(TEMPLATE), no_input=True, extra_context=context, output_dir=str(folder))
    )


def measure(project: Path, *command: str, env: Mapping[str, str] | None = None) -> Measured:
    """Run a command in the project; one that fails ends the benchmark with its output."""
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
    ):
        process = subprocess.Popen(
            command,
            cwd=project,
            env=project_environment() | dict(env or {}),
            stdout=output,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{output.read()}{errors.read()}")
        return Measured(seconds, usage.ru_maxrss / 1024, output.read())


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """Files over HTTP on loopback, in place of the internet; gives the URL."""

    class QuietHandler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
