"""Memory and speed of training on up to a million pictures, in memory and from the disk.

uv run python -m benchmarks.memory
"""

import json
from pathlib import Path
from typing import Any

from .project import generated, measure
from .report import write

PEER = Path(__file__).parent / "peers/memory.py"
NUM_IMAGES = (62_500, 250_000, 1_000_000)
LOCATIONS = {"device": "in memory", "disk": "on the disk, memory-mapped"}


def main() -> None:
    with generated() as project:
        measure(project, "make", "setup")
        rows = []
        for location, words in LOCATIONS.items():
            for num_images in NUM_IMAGES:
                found = _run(project, location, num_images)
                rows.append(
                    [
                        words,
                        f"{num_images:,}",
                        f"{num_images * 3 * 32 * 32 / 1e6:,.0f}",
                        f"{found['peak_mb']:,.0f}",
                        f"{found['images_per_second']:,.0f}",
                    ]
                )
    write(
        "memory",
        "One epoch on random 32x32 colour pictures, a CNN of width 4",
        "python -m benchmarks.memory",
        ["pictures", "number", "their size, MB", "highest resident memory, MB", "images/s"],
        rows,
    )


def _run(project: Path, location: str, num_images: int) -> dict[str, Any]:
    command = ["uv", "run", "python", str(PEER), location, str(num_images)]
    result: dict[str, Any] = json.loads(measure(project, *command).output.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
