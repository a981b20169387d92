"""`make tune`: TPE beside random search with the same number of trials, over seeds.

    uv run python -m benchmarks.tune --data FOLDER [--trials 20 --seeds 5]

FOLDER holds Fashion-MNIST's official files, of which 2,000 images train and 2,000 validate, for six
epochs a trial. Both prune what after some epochs is worse than most trials before it.
"""

import argparse
import csv
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

from .project import generated, measure, served_folder
from .report import interval, write

SAMPLERS = {"tpe": "TPE", "random": "random search"}
SMALL = "prepare.limit=2000 train.epochs=6 train.patience=6"


@dataclass(frozen=True)
class Study:
    """What a study found: the best validation accuracy in percent, pruned trials, and seconds."""

    best: float
    num_pruned: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    parser.add_argument("--trials", type=int, default=20, help="of each study")
    parser.add_argument("--seeds", type=int, default=5, help="studies of each sampler")
    arguments = parser.parse_args()
    studies: dict[str, list[Study]] = {sampler: [] for sampler in SAMPLERS}
    answers = {"dataset": "fashion-mnist"}
    with generated(answers) as project, served_folder(arguments.data) as url:
        measure(project, "make", "setup")
        measure(project, "make", "params", env={"PARAMETERS": SMALL})
        measure(project, "uv", "run", "dvc", "repro", "prepare", env={"DATA_SOURCE_URL": url})
        for seed in range(arguments.seeds):
            for sampler in SAMPLERS:
                studies[sampler].append(run_study(project, sampler, seed, arguments.trials))
    write_table(studies, arguments.trials, arguments.seeds)


def run_study(project: Path, sampler: str, seed: int, num_trials: int) -> Study:
    """Run one study from its beginning."""
    folder = project / "build/tune"
    shutil.rmtree(folder, ignore_errors=True)
    options = f"--trials {num_trials} --sampler {sampler} --seed {seed}"
    cost = measure(project, "make", "tune", env={"ARGS": options})
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    complete = [float(row["validation_accuracy"]) for row in rows if row["state"] == "COMPLETE"]
    return Study(100 * max(complete), len(rows) - len(complete), cost.seconds)


def difference(studies: dict[str, list[Study]]) -> str:
    """Mean and 95 % interval (Student's t) of the difference between the studies of a seed."""
    pairs = zip(studies["tpe"], studies["random"], strict=True)
    return interval([tpe.best - random.best for tpe, random in pairs], digits=2, sign="+")


def write_table(studies: dict[str, list[Study]], num_trials: int, num_seeds: int) -> None:
    rows = [
        [
            name,
            f"{statistics.mean(study.best for study in studies[sampler]):.2f} %",
            " ".join(f"{study.best:.2f}" for study in studies[sampler]),
            difference(studies) if sampler == "tpe" else "",
            f"{statistics.mean(study.num_pruned for study in studies[sampler]):.1f}",
            f"{statistics.mean(study.seconds for study in studies[sampler]):.0f}",
        ]
        for sampler, name in SAMPLERS.items()
    ]
    write(
        "tune",
        f"Best validation accuracy after {num_trials} trials, {num_seeds} seeds",
        f"python -m benchmarks.tune --data FOLDER --trials {num_trials} --seeds {num_seeds}",
        [
            *("sampler", "mean of the best", "by seed"),
            *("gain in points (95 % interval)", "trials pruned", "seconds"),
        ],
        rows,
    )


if __name__ == "__main__":
    main()
