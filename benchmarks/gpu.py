"""Training on a GPU, beside airbench94 in one run, and the ablation and profile there.

    uv run python -m benchmarks.gpu --data FOLDER [--try]

FOLDER holds Fashion-MNIST's four official files. Wants an NVIDIA GPU; `--try` shows on any machine,
with little data and without airbench, that the commands work, and writes no table.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from .project import generated, measure, served_folder
from .report import RESULTS, write

PEER = Path(__file__).parent / "peers/gpu.py"
COMMAND = "python -m benchmarks.gpu --data FOLDER"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    parser.add_argument("--try", action="store_true", dest="is_try")
    arguments = parser.parse_args()
    is_try: bool = arguments.is_try
    group = [] if is_try else ["TORCH=cuda"]
    answers = {"dataset": "fashion-mnist"}
    with generated(answers) as project, served_folder(arguments.data) as url:
        measure(project, "make", "setup", *group)
        if is_try:
            params = project / "params.yaml"
            few = params.read_text("utf-8").replace("limit: null", "limit: 256")
            params.write_text(few, "utf-8")
        environment = {"DATA_SOURCE_URL": url}
        measure(project, "uv", "run", "--no-sync", "dvc", "repro", "prepare", env=environment)
        num_images, epochs = (64, 1) if is_try else (50_000, 10)
        ours = _run(project, "ours", num_images, epochs)
        goal = _run(project, "goal", 64 if is_try else 54_000, 1 if is_try else 24)
        if is_try:
            print(json.dumps([ours, goal], indent=2))
            return
        airbench = _run(project, "airbench", num_images, epochs)
        measure(project, "make", "bench-train", "ARGS=--epochs 8 --seeds 3", *group)
        measure(project, "make", "profile", *group)
        for source in ("docs/ablation.md", "build/profile/profile.md"):
            target = RESULTS / f"gpu-{Path(source).name}"
            target.write_text((project / source).read_text("utf-8"), "utf-8")
    _write(ours, airbench, goal)


def _run(project: Path, kind: str, num_images: int, epochs: int) -> dict[str, Any]:
    extra = ["--with", "airbench", "--with", "torchvision"] if kind == "airbench" else []
    command = ["uv", "run", "--no-sync", *extra, "python", str(PEER), kind]
    output = measure(project, *command, str(num_images), str(epochs)).output
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _write(ours: dict[str, Any], airbench: dict[str, Any], goal: dict[str, Any]) -> None:
    seconds = goal["seconds_to_goal"]
    reached = f"{seconds:.1f} s" if seconds else f"not reached, {goal['accuracy']:.4f}"
    rows = [
        [
            name,
            f"{result['images_per_second']:,.0f}",
            f"{result['share_of_peak']:.0%}",
            goal_cell,
        ]
        for name, result, goal_cell in (
            ("this project's loop, ResNet of width 64", ours, reached),
            ("airbench94, its own network", airbench, ""),
        )
    ]
    write(
        "gpu",
        f"Training on {ours['hardware']}, CIFAR-10-shaped images",
        COMMAND,
        ["", "images/s", "share of a large matrix product's speed", "Fashion-MNIST to 0.94"],
        rows,
    )


if __name__ == "__main__":
    main()
