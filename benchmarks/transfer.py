"""A pretrained network beside a CNN from scratch, with 50 images of each class of Fashion-MNIST.

    uv run python -m benchmarks.transfer --data FOLDER [--splits 5]

FOLDER holds the four official files. Each split draws its own 50 images of each class to train and
20 to choose the best epoch, the same for both networks; the test images stay the same.
"""

import argparse
import json
import statistics
from pathlib import Path

from .project import generated, measure, served_folder
from .report import interval, write

INSIDE = Path(__file__).parent / "peers/transfer.py"
PER_CLASS, TO_VALIDATE, TO_TEST = 50, 20, 2000
SCRATCH, HEAD, ALL = "CNN from scratch", "pretrained, its head alone", "pretrained, head first"
# Of 16 steps an epoch each. The learning rate of the CNN is the one that ships.
SETTINGS = {
    "cnn": "train.epochs=100 train.learning_rate=0.01",
    "pretrained": "train.epochs=10 train.learning_rate=0.001",
}
BOTH = "train.batch_size=32 train.precision=float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    accuracies: dict[str, list[float]] = {SCRATCH: [], HEAD: [], ALL: []}
    seconds: dict[str, list[float]] = {SCRATCH: [], ALL: []}
    with (
        generated({"dataset": "fashion-mnist"}) as project,
        served_folder(arguments.data) as url,
    ):
        measure(project, "make", "data", env={"DATA_SOURCE_URL": url})
        for split in range(arguments.splits):
            for model, name in (("cnn", SCRATCH), ("pretrained", ALL)):
                found = train(project, model, split)
                accuracies[name].append(100 * found["accuracy"])
                seconds[name].append(found["seconds"])
                if "head" in found:
                    accuracies[HEAD].append(100 * found["head"])
            if split:
                write_table(accuracies, seconds)


def train(project: Path, model: str, split: int) -> dict[str, float]:
    parameters = f"model.name={model} {SETTINGS[model]} {BOTH}"
    measure(project, "make", "params", env={"PARAMETERS": parameters})
    measure(project, "make", "setup")  # installs the weights for who asks for them
    arguments = map(str, (split, PER_CLASS, TO_VALIDATE, TO_TEST))
    output = measure(project, "uv", "run", "python", str(INSIDE), *arguments).output
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def write_table(accuracies: dict[str, list[float]], seconds: dict[str, list[float]]) -> None:
    scratch = accuracies[SCRATCH]
    rows = []
    for name, values in accuracies.items():
        gains = [value - other for value, other in zip(values, scratch, strict=True)]
        rows.append(
            [
                name,
                interval(values, digits=1),
                " ".join(f"{value:.1f}" for value in values),
                interval(gains, digits=1, sign="+") if name != SCRATCH else "",
                f"{statistics.mean(seconds[name]):.0f}" if name in seconds else "",
            ]
        )
    write(
        "transfer",
        f"Fashion-MNIST with {PER_CLASS} images a class, {len(scratch)} splits, the first "
        f"{TO_TEST:,} test images",
        f"python -m benchmarks.transfer --data FOLDER --splits {len(scratch)}",
        [
            *("network", "test accuracy in % (95 % interval)", "by split"),
            *("gain in points (95 % paired interval)", "training, CPU seconds"),
        ],
        rows,
    )


if __name__ == "__main__":
    main()
