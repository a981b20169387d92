"""Size, start-up and memory of the container, FastAPI beside TorchServe.

    uv run python -m benchmarks.containers

Wants a Docker engine. The numbers are those that the project's own `make smoke` prints.
"""

import re
from pathlib import Path

from .project import generated, measure
from .report import write

SERVERS = {"fastapi": "FastAPI, ONNX Runtime", "torchserve": "TorchServe, PyTorch"}


def main() -> None:
    rows = []
    for server, title in SERVERS.items():
        with generated({"serving": server}) as project:
            measure(project, "make", "repro")
            measure(project, "make", "image")
            rows.append([title, *_smoke(project)])
    write(
        "containers",
        "The container with a trained model",
        "python -m benchmarks.containers",
        ["server", "added to the base image, MB", "start to ready, s", "memory after 20 images"],
        rows,
    )


def _smoke(project: Path) -> tuple[str, ...]:
    """Megabytes, seconds and memory from the sentence that `make smoke` ends with."""
    sentence = measure(project, "make", "--silent", "smoke").output
    match = re.search(r"adds (\S+) MB .* ready in (\S+) s, .* uses (\S+) of memory", sentence)
    assert match, sentence
    return match.groups()


if __name__ == "__main__":
    main()
