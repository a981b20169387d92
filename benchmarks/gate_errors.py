"""How often the gate errs, by simulation and on real retrainings.

    uv run python -m benchmarks.gate_errors

An equal model should be stopped in at most 5 % of all cases, and one that is worse by twice the
allowed drop in at least 80 %, where the test set is large enough to tell.
"""

import json
from pathlib import Path

from .project import generated, measure
from .report import write

COMMAND = "python -m benchmarks.gate_errors"
INSIDE = Path(__file__).parent / "peers/gate.py"
NUM_SEEDS = 20


def main() -> None:
    with generated({}) as project:
        measure(project, "make", "setup")
        measure(project, "uv", "run", "dvc", "repro", "prepare")
        command = ("uv", "run", "python", str(INSIDE), str(NUM_SEEDS))
        found = json.loads(measure(project, *command).output.splitlines()[-1])
    write(
        "gate-errors",
        "How often the gate stops a model, in per cent; allowed drop 0.5 points, ten classes",
        COMMAND,
        [
            *("test images", "images that one of two models alone gets right, %"),
            *("an equal model", "one worse by 1 point", "drop it can see, points"),
        ],
        found["simulated"],
    )
    write(
        "gate-errors-real",
        f"The gate on {NUM_SEEDS} trainings of the same network with other seeds",
        COMMAND,
        ["pairs of models", "stopped", "stopped by the difference alone", "mean disagreement, %"],
        [found["real"]],
    )


if __name__ == "__main__":
    main()
