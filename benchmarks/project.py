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

TEMPLATE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """What a command took: wall time in seconds, and the largest resident memory in MB."""

    seconds: float
    peak_mb: float


@contextmanager
def generated(answers: Mapping[str, str] | None = None) -> Iterator[Path]:
    """A fresh project with these answers, in a folder of its own that goes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(
            cookiecutter(
                str(TEMPLATE), no_input=True, extra_context=dict(answers or {}), output_dir=folder
            )
        )


def measure(project: Path, *command: str, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command in the project; one that fails ends the benchmark with its output."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=project_environment() | dict(env or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read()}")
    return Cost(seconds, usage.ru_maxrss / 1024)


def project_environment() -> dict[str, str]:
    """The environment without the template's own virtual environment."""
    return {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}


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
