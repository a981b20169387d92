"""How long it takes to find the splits of a million images by the hashes of their pixels.

uv run python -m benchmarks.splits
"""

from .project import generated, measure
from .report import write

NUM_IMAGES = 1_000_000
SCRIPT = """
import sys, time
import numpy as np
from my_project.data.split import assign_splits, hash_positions
number = int(sys.argv[1])
keys = [f"{i:064x}" for i in range(number)]  # as long as a SHA-256 of an image's pixels
start = time.perf_counter()
positions = hash_positions(keys, seed=0)
names = assign_splits(
    positions, np.full(number, ""), np.zeros(number, bool),
    validation_fraction=0.1, test_fraction=0.2,
)
print(time.perf_counter() - start, np.mean(names == "test"))
"""


def main() -> None:
    with generated() as project:
        measure(project, "make", "setup")
        command = ["uv", "run", "--quiet", "python", "-c", SCRIPT, str(NUM_IMAGES)]
        seconds, share = measure(project, *command).output.split()
    write(
        "splits",
        f"The splits of {NUM_IMAGES:,} images, whose hashes are known",
        "python -m benchmarks.splits",
        ["seconds", "share of the test split, asked for 20 %"],
        [[f"{float(seconds):.1f}", f"{100 * float(share):.2f} %"]],
    )


if __name__ == "__main__":
    main()
