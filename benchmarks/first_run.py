"""How long a newcomer waits: for the first served prediction, and for the tests.

    uv run python -m benchmarks.first_run

Packages come from uv's cache, as on any machine that has installed PyTorch before. The row with an
empty cache is the first `make demo` of a fresh clone; how fast packages arrive decides that one.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

from scripts.demo import TEMPLATE

from .project import generated, measure
from .report import write


def main() -> None:
    with generated() as project:  # fills the package cache
        measure(project, "make", "setup")
    start = time.perf_counter()
    with generated() as project:
        seconds = {"generate": time.perf_counter() - start}
        for target, command in {
            "install (`make setup`)": ["make", "setup"],
            "fetch and prepare": ["uv", "run", "dvc", "repro", "prepare"],
            "train": ["uv", "run", "dvc", "repro", "train"],
            "evaluate": ["uv", "run", "dvc", "repro", "evaluate"],
            "export": ["uv", "run", "dvc", "repro", "export"],
            "report": ["uv", "run", "dvc", "repro", "report"],
            "second `dvc repro`: nothing to do": ["uv", "run", "dvc", "repro"],
            "the project's `make test`": ["make", "test"],
        }.items():
            seconds[target] = measure(project, *command).seconds
    rows = [[step, f"{value:.1f}"] for step, value in seconds.items()]
    rows.append(["**`make demo`, to served predictions**", f"**{_demo_seconds()}**"])
    rows.append(["`make demo` in a fresh clone, no package cached", f"{_first_demo_seconds():.0f}"])
    tests = measure(TEMPLATE, "make", "test")
    outcome = tests.output.splitlines()[-1].strip("= ").partition(" in ")[0]
    rows.append([f"the template's `make test`: {outcome}", f"{tests.seconds:.0f}"])
    write(
        "first-run",
        "From nothing to a served prediction",
        "python -m benchmarks.first_run",
        ["step", "seconds"],
        rows,
    )


def _demo_seconds() -> str:
    """The time that `make demo` itself prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(TEMPLATE / "scripts/demo.py"), "--into", folder]
        output = measure(Path(folder), *command).output
    match = re.search(r"in (\d+) s", output)
    assert match, output
    return match[1]


def _first_demo_seconds() -> float:
    """Time `make demo` in a clone that has nothing yet, with caches that are empty."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        measure(Path(folder), "git", "clone", "--quiet", str(TEMPLATE), str(clone))
        env = {
            "PATH": os.environ["PATH"],  # without the uv that the template has installed for itself
            "UV_CACHE_DIR": str(Path(folder, "uv")),
            "PIP_CACHE_DIR": str(Path(folder, "pip")),
        }
        return measure(clone, "make", "demo", env=env).seconds


if __name__ == "__main__":
    main()
