"""How long `prepare` takes for 200,000 photographs, on one core, on all, and on a Dask cluster.

    uv run python -m benchmarks.many_images [--images 200000]

The images are JPEGs of noise and gradients, 160 x 160, which a fixed seed makes. All runs have to
write the same bytes. In one of them a worker is killed half-way.
"""

import argparse
import json
import statistics
from pathlib import Path

from .project import generated, measure
from .report import write

INSIDE = Path(__file__).parent / "peers/many_images.py"
ROUNDS = 5
OTHERS = ("killed", "dask")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000, help="how many to make")
    num_images: int = parser.parse_args().images
    with generated() as project:
        measure(project, "make", "setup")
        run = ["uv", "run", "--quiet", "--group", "cluster", "python", str(INSIDE)]
        measure(project, *run, "make", str(num_images))
        rounds = [
            {name: json.loads(measure(project, *run, name).output) for name in ("1", "2", "two")}
            for _ in range(ROUNDS)
        ]
        half = statistics.median(float(found["2"]["seconds"]) for found in rounds) / 2
        others = {
            name: json.loads(measure(project, *run, name, str(half)).output) for name in OTHERS
        }
    write_table(num_images, rounds, others)


def write_table(
    num_images: int,
    rounds: list[dict[str, dict[str, float | str]]],
    others: dict[str, dict[str, float | str]],
) -> None:
    """Medians of the rounds; the fastest and slowest ratio are of one round each."""
    alone = [float(found["1"]["seconds"]) for found in rounds]
    hashes = {str(found["1"]["hash"]) for found in rounds}

    def row(name: str, runs: list[dict[str, float | str]]) -> list[str]:
        seconds = [float(run["seconds"]) for run in runs]
        ratios = [alone[i % len(alone)] / value for i, value in enumerate(seconds)]
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(runs) > 1 else ""
        same = "" if "hash" not in runs[0] else str({str(run["hash"]) for run in runs} == hashes)
        peak = f"{max(float(run['peak_mb']) for run in runs):,.0f}" if "hash" in runs[0] else ""
        rate = num_images / statistics.median(seconds)
        return [
            name,
            f"{statistics.median(seconds):.0f}",
            f"{rate:,.0f}",
            f"{statistics.median(ratios):.2f}{spread}",
            peak,
            {"True": "yes", "False": "no", "": ""}[same],
        ]

    write(
        "many-images",
        f"`prepare` for {num_images:,} JPEGs of 160 x 160, {len(rounds)} rounds",
        f"python -m benchmarks.many_images --images {num_images}",
        [
            *("workers", "seconds", "images/s", "times as fast as one process"),
            *("largest process, MB", "same bytes"),
        ],
        [
            row("one process", [found["1"] for found in rounds]),
            row("two processes", [found["2"] for found in rounds]),
            row(
                "for comparison: half of the images decoded by each of two programs that share "
                "nothing",
                [found["two"] for found in rounds],
            ),
            row("two processes, one killed half-way", [others["killed"]]),
            row("a Dask cluster of two workers on loopback", [others["dask"]]),
        ],
    )


if __name__ == "__main__":
    main()
