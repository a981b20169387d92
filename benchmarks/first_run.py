"""How long a newcomer waits: from no project at all to the first served prediction.

    uv run python -m benchmarks.first_run

Packages come from uv's cache, as on any machine that has installed PyTorch before.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .project import TEMPLATE, generated, measure
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
            "second `dvc repro`: nothing to do": ["uv", "run", "dvc", "repro"],
        }.items():
            seconds[target] = measure(project, *command).seconds
    rows = [[step, f"{value:.1f}"] for step, value in seconds.items()]
    rows.append(["**`make demo`, to served predictions**", f"**{_demo_seconds()}**"])
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
        output = subprocess.run(
            command, cwd=Path(folder), capture_output=True, text=True, check=True
        ).stdout
    match = re.search(r"in (\d+) s", output)
    assert match, output
    return match[1]


if __name__ == "__main__":
    main()
