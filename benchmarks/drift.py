"""How often `make drift` raises an alarm on Fashion-MNIST, with a shift and without one.

    uv run python -m benchmarks.drift --data FOLDER

FOLDER holds the four official files. Each stream is drawn from the test images; the reference is
the one that `export` wrote.
"""

import argparse
import json
from pathlib import Path

from .project import generated, measure, served_folder
from .report import write

INSIDE = Path(__file__).parent / "peers/drift.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        measure(project, "make", "setup")
        measure(project, "uv", "run", "dvc", "repro", "export", env={"DATA_SOURCE_URL": url})
        command = ("uv", "run", "python", str(INSIDE))
        found = json.loads(measure(project, *command).output.splitlines()[-1])
    write(
        "drift",
        "Alarms of `make drift` on Fashion-MNIST, by the number of images of a stream",
        "python -m benchmarks.drift --data FOLDER",
        ["stream", "streams", *(f"{size:,} images" for size in found["sizes"]), "accuracy, %"],
        found["rows"],
    )


if __name__ == "__main__":
    main()
