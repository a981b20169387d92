"""The training loop beside the usual one and Lightning's, and two processes beside one.

    uv run python -m benchmarks.training --data FOLDER

FOLDER holds Fashion-MNIST's four official files. What is compared, and how: benchmarks/peers.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from .project import generated, measure, served_folder
from .report import write

PEER = Path(__file__).parent / "peers/training.py"
KINDS = {
    "ours": "this project's loop, `precision: auto`",
    "ours-float32": "this project's loop, `precision: float32`",
    "usual": "usual loop, `DataLoader` with 2 workers",
    "lightning": "Lightning's `Trainer`, `DataLoader` with 2 workers",
}
EPOCHS = 8
GOAL = 0.92
ROUNDS = 3
COMMAND = "python -m benchmarks.training --data FOLDER"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    parser.add_argument("--only", choices=["loops", "processes"], help="one of the two tables")
    arguments = parser.parse_args()
    data: Path = arguments.data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        measure(project, "make", "setup")
        measure(project, "uv", "run", "dvc", "repro", "prepare", env={"DATA_SOURCE_URL": url})
        if arguments.only != "processes":
            _compare_loops(project)
        if arguments.only != "loops":
            _compare_processes(project)


def _compare_loops(project: Path) -> None:
    # Not `uv run --with`, which would get Lightning a PyTorch of its own, for CUDA.
    measure(project, "uv", "pip", "install", "lightning")
    epochs = {kind: _run(project, kind) for kind in KINDS}
    speeds = {kind: 54_000 * len(rows) / rows[-1]["seconds"] for kind, rows in epochs.items()}
    write(
        "training",
        f"Fashion-MNIST, the small CNN, {EPOCHS} epochs: speed of training",
        COMMAND,
        [
            "loop",
            "images/s",
            "ours is so many times as fast",
            "test accuracy",
            f"seconds to {GOAL} test accuracy",
        ],
        [
            [
                KINDS[kind],
                f"{speed:,.0f}",
                f"{speeds['ours'] / speed:.2f}",
                f"{epochs[kind][-1]['accuracy']:.4f}",
                _seconds_to_goal(epochs[kind]),
            ]
            for kind, speed in speeds.items()
        ],
    )


def _run(project: Path, kind: str) -> list[dict[str, Any]]:
    command = ["uv", "run", "--no-sync", "python", str(PEER), kind, str(EPOCHS)]
    lines = measure(project, *command).output.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def _seconds_to_goal(rows: list[dict[str, Any]]) -> str:
    return next((f"{row['seconds']:.0f}" for row in rows if row["accuracy"] >= GOAL), "not reached")


def _compare_processes(project: Path) -> None:
    """With and without the exchange that makes several processes end with the weights of one."""
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for old, new in {
        "epochs: 16": "epochs: 1",
        "batch_size: 128": "batch_size: 512",
        "precision: auto": "precision: float32",
    }.items():
        assert old in text
        text = text.replace(old, new)
    without = text.replace("sync_batch_norm: true", "sync_batch_norm: false")
    kinds = {("1", ""): (text, 1), ("2", "true"): (text, 2), ("2", "false"): (without, 2)}
    speeds: dict[tuple[str, str], list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):  # round by round, so that a slow minute of the machine is shared
        for kind, (changed, num_processes) in kinds.items():
            speeds[kind].append(_speed(project, changed, num_processes))
    rows = [
        [
            *kind,
            f"{statistics.median(found):,.0f}",
            f"{statistics.median(found) / statistics.median(speeds['1', '']):.2f}",
        ]
        for kind, found in speeds.items()
    ]
    write(
        "processes",
        f"Fashion-MNIST, the small CNN, batches of 512: processes of one thread, {ROUNDS} rounds",
        COMMAND,
        ["processes", "`sync_batch_norm`", "images/s", "times as fast as one"],
        rows,
    )


def _speed(project: Path, params: str, num_processes: int) -> float:
    """Images a second, as `metrics/train.json` has it."""
    (project / "params.yaml").write_text(params, encoding="utf-8")
    shutil.rmtree(project / "checkpoints", ignore_errors=True)
    start = ["uv", "run", "torchrun", "--standalone", f"--nproc-per-node={num_processes}"]
    measure(project, *start, "-m", "my_project.stages.train", env={"OMP_NUM_THREADS": "1"})
    summary = json.loads((project / "metrics/train.json").read_text(encoding="utf-8"))
    assert summary["num_processes"] == num_processes
    return float(summary["images_per_second"])


if __name__ == "__main__":
    main()
