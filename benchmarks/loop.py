"""The loop turns once: from a shifted stream of requests to a better model, by commands of a user.

    uv run python -m benchmarks.loop --data FOLDER

FOLDER holds Fashion-MNIST's official files. Wants Docker, docker-registry and sshd. A model is
released into a container behind its proxy, and gets images that are rotated and darker than those
it was trained on, with feedback on a tenth of them. `monitor.yml` notices and opens an issue; the
feedback goes to DVC's remote and into a pull request, whose report compares the two models; merged,
`release.yml` lets the new one take over. The workflows run under act, with stand-ins for GitHub's
API and for its actions.
"""

import argparse
import gzip
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from PIL import Image

from scripts.demo import encode_png, read_json
from tests.bakes import Bake
from tests.deployment import provide, target
from tests.loop import Turn, turn
from tests.product.github import stand_in
from tests.release import Labelled, Released, first_release

from .project import generate, served_folder
from .report import RESULTS, write

DATA_SET = {"dataset": "fashion-mnist"}
# Leaves images of the official training set to those who send requests.
PARAMETERS = "prepare.limit=45000 train.epochs=8 gate.min_accuracy=0.85"
LONGER = "train.epochs=12"  # in the pull request, since there is more to learn
NUM_STREAMED = 6_000
NUM_JUDGED = 2_000
FEEDBACK_EVERY = 10
DEGREES, BRIGHTNESS = 30, 0.6

Pixels = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with tempfile.TemporaryDirectory() as name, target(Path(name)) as place:
        folder = Path(name, "work")
        folder.mkdir()
        with served_folder(data) as url:
            released = first_release(
                place,
                lambda answers: Bake(generate(folder, DATA_SET | answers), output=""),
                prepare,
                env={"DATA_SOURCE_URL": url},
            )
        provide("postgres:17")
        evaluation = released.project.path / "metrics/evaluation.json"
        before = read_json(evaluation)
        images = shifted(released, data, NUM_STREAMED + NUM_JUDGED)
        stream, judged = images[:NUM_STREAMED], images[NUM_STREAMED:]
        with stand_in() as github:
            database = released.use_postgresql()
            turned = turn(
                released, database, github, stream, judged, FEEDBACK_EVERY, parameters=LONGER
            )
        after = read_json(evaluation)
    write_table(turned, before, after)
    plot(before, after, turned)


def prepare(project: Bake) -> None:
    """Give a new project its parameters."""
    project.run("make", "params", env={"PARAMETERS": PARAMETERS})


def write_table(turned: Turn, before: dict[str, Any], after: dict[str, Any]) -> None:
    original, production = map(in_points, turned.paired())
    failed = sum(n for model, n in turned.answers.items() if model not in turned.models)
    feedback = after["production"]
    rows = [
        ["the issue that monitor.yml opened", first_line(turned.issue)],
        ["the comment on the pull request", first_line(turned.comment)],
        ["changed in the pull request, besides", LONGER],
        ["original test set, before", share(before["accuracy"], before["accuracy_ci95"])],
        ["original test set, after", share(after["accuracy"], after["accuracy_ci95"])],
        ["original test set, gain in points (paired)", original],
        [
            f"test images from feedback ({feedback['num_images']}), after",
            share(feedback["accuracy"], feedback["accuracy_ci95"]),
        ],
        ["test images from feedback, gain in points (paired)", production],
        ["requests during the release", f"{sum(turned.answers.values()):,}"],
        ["of these failed", str(failed)],
        *(
            [f"the next {NUM_JUDGED:,} shifted images, {when}", share(*proportion(flags))]
            for when, flags in zip(("before", "after"), turned.right, strict=True)
        ),
    ]
    title = "The loop turns once: a shifted stream, drift, feedback, retraining, gate, takeover"
    write("loop", title, "python -m benchmarks.loop --data FOLDER", ["", "result"], rows)


def first_line(report: str) -> str:
    return report.splitlines()[0].lstrip("# ")


def in_points(paired: tuple[float, float, float]) -> str:
    value, low, high = paired
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def unseen(project: Path, data: Path) -> list[tuple[Pixels, int]]:
    """Images (1, 28, 28) of the official training set that are in no split, with their classes."""
    known = {
        pixels.tobytes()
        for split in ("train", "validation", "test")
        for pixels in np.load(project / f"data/prepared/{split}_images.npy", mmap_mode="r")
    }
    images, labels = (
        np.frombuffer(gzip.decompress((data / name).read_bytes()), np.uint8, offset=offset)
        for name, offset in (
            ("train-images-idx3-ubyte.gz", 16),
            ("train-labels-idx1-ubyte.gz", 8),
        )
    )
    return [
        (pixels, int(label))
        for pixels, label in zip(images.reshape(-1, 1, 28, 28), labels, strict=True)
        if pixels.tobytes() not in known
    ]


def shifted(released: Released, data: Path, number: int) -> Labelled:
    """As many images that the model has not seen, rotated and darkened, as PNG files."""
    project = released.project.path
    classes = read_json(project / "model/metadata.json")["classes"]
    found = unseen(project, data)[:number]
    assert len(found) == number
    return [(encode_png(_shift(pixels)), classes[label]) for pixels, label in found]


def _shift(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels[0]).rotate(DEGREES, Image.Resampling.BILINEAR)
    return (np.asarray(image, dtype=np.float32) * BRIGHTNESS).astype(np.uint8)[None]


def proportion(flags: list[bool]) -> tuple[float, tuple[float, float]]:
    """The share that is true, with its 95 % Wilson interval."""
    number, value, z = len(flags), sum(flags) / len(flags), 1.96
    centre = value + z**2 / (2 * number)
    half = z * math.sqrt(value * (1 - value) / number + z**2 / (4 * number**2))
    return value, ((centre - half) / (1 + z**2 / number), (centre + half) / (1 + z**2 / number))


def share(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def plot(before: dict[str, Any], after: dict[str, Any], turned: Turn) -> None:
    """Accuracy before and after, on original and on shifted images, as results/loop.svg."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    series = {
        "original test set": [(m["accuracy"], m["accuracy_ci95"]) for m in (before, after)],
        "rotated and darker images": [proportion(flags) for flags in turned.right],
    }
    for (name, points), colour in zip(series.items(), ("#a5a1f5", "#4f46e5"), strict=True):
        values = [100 * value for value, _ in points]
        errors = [
            [100 * (value - interval[0]) for value, interval in points],
            [100 * (interval[1] - value) for value, interval in points],
        ]
        axes.errorbar([0, 1], values, errors, marker="o", capsize=4, color=colour, label=name)
    axes.set_xticks([0, 1], ["before", "after feedback and retraining"])
    axes.set(ylabel="accuracy, %", xlim=(-0.3, 1.3))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(RESULTS / "loop.svg")


if __name__ == "__main__":
    main()
