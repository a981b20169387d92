"""The loop turns once: from a shifted stream of requests to a better model, by commands of a user.

    uv run python -m benchmarks.loop --data FOLDER

FOLDER holds Fashion-MNIST's official files. A model is served as in production, and gets images
that are rotated and darker than those it was trained on, with feedback on a tenth of them. `make
drift` notices; the feedback is accepted, the model retrained and gated against the one before, and
a second service takes over from the first, which has answered requests all the time.
"""

import argparse
import contextlib
import gzip
import math
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from PIL import Image

from scripts.demo import Service, encode_png, project_environment, read_json, serve

from .project import generated, measure, served_folder
from .report import RESULTS, write

# Leaves images of the official training set to those who send requests.
PARAMETERS = "prepare.limit=45000 train.epochs=8 gate.min_accuracy=0.85"
NUM_STREAMED = 6_000
NUM_JUDGED = 2_000
FEEDBACK_EVERY = 10
DEGREES, BRIGHTNESS = 30, 0.6
IDENTITY = ["-c", "user.name=Ana", "-c", "user.email=ana@example.com"]

Pixels = npt.NDArray[np.uint8]
Labelled = list[tuple[bytes, int]]  # PNG files and their true classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        env = {"DATA_SOURCE_URL": url}
        measure(project, "make", "params", env={"PARAMETERS": PARAMETERS})
        measure(project, "make", "repro", env=env)
        commit(project, "Train the first model")
        images = shifted(unseen(project, data), NUM_STREAMED + NUM_JUDGED)
        with serve(project, key_options=["--rate", "100000"]) as service:
            before = correct(service, images[NUM_STREAMED:])
            original = read_json(project / "metrics/evaluation.json")
            stream(service, project, images[:NUM_STREAMED])
            drift = report_of_drift(project)
            measure(project, "make", "export-feedback")
            accepted = measure(project, "make", "accept-feedback").output
            active = [service]  # the slot that gets requests
            with requests_meanwhile(active, images[0][0]) as statuses:
                measure(project, "make", "repro", env=env)
                verdict = measure(project, "make", "--silent", "gate", "CHAMPION=HEAD").output
                with serve(project, key_options=["--rate", "100000"]) as retrained_service:
                    active[0] = retrained_service
                    after = correct(retrained_service, images[NUM_STREAMED:])
                    active[0] = service  # which goes on until the block ends
        retrained = read_json(project / "metrics/evaluation.json")
    num_failed = sum(number for status, number in statuses.items() if status != "200")
    found = re.search(r"holds (\d+) images", accepted)
    assert found
    production = retrained["production"]
    rows = [
        ["drift", drift],
        ["images with accepted feedback", found[1]],
        ["gate", verdict.partition("## Gate: ")[2].splitlines()[0]],
        ["requests during retraining and takeover", f"{sum(statuses.values()):,}"],
        ["of these failed", str(num_failed)],
        ["original test set, before", share(original["accuracy"], original["accuracy_ci95"])],
        ["original test set, after", share(retrained["accuracy"], retrained["accuracy_ci95"])],
        [
            f"test images from feedback ({production['num_images']}), after",
            share(production["accuracy"], production["accuracy_ci95"]),
        ],
        [f"the next {NUM_JUDGED:,} shifted images, before", share(*proportion(before))],
        [f"the next {NUM_JUDGED:,} shifted images, after", share(*proportion(after))],
    ]
    title = "The loop turns once: a shifted stream, drift, feedback, retraining, gate, takeover"
    write("loop", title, "python -m benchmarks.loop --data FOLDER", ["", "result"], rows)
    plot(original, retrained, before, after)


def commit(project: Path, message: str) -> None:
    for command in (["add", "--all"], [*IDENTITY, "commit", "--quiet", "--message", message]):
        subprocess.run(["git", *command], cwd=project, check=True)


def unseen(project: Path, data: Path) -> list[tuple[Pixels, int]]:
    """Images (1, 28, 28) of the official training set that are in no split, with their classes."""
    known = {
        pixels.tobytes()
        for split in ("train", "validation", "test")
        for pixels in np.load(project / f"data/prepared/{split}_images.npy", mmap_mode="r")
    }
    images = np.frombuffer(
        gzip.decompress((data / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    ).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(
        gzip.decompress((data / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
    )
    return [
        (pixels, int(label))
        for pixels, label in zip(images, labels, strict=True)
        if pixels.tobytes() not in known
    ]


def shifted(images: Sequence[tuple[Pixels, int]], number: int) -> Labelled:
    """The first `number` images, rotated and darkened, as PNG files."""
    assert len(images) >= number
    return [(encode_png(_shift(pixels)), label) for pixels, label in images[:number]]


def _shift(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels[0]).rotate(DEGREES, Image.Resampling.BILINEAR)
    return (np.asarray(image, dtype=np.float32) * BRIGHTNESS).astype(np.uint8)[None]


def send(service: Service, images: Labelled, keep: str = "") -> Iterator[dict[str, Any]]:
    """The service's answers, in the order of the images."""
    headers = {"Content-Type": "image/png", "Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as client:

        def post(png: bytes) -> dict[str, Any]:
            response = client.post(f"/v1/predict{keep}", content=png)
            answer: dict[str, Any] = response.raise_for_status().json()
            return answer

        with ThreadPoolExecutor(4) as pool:
            yield from pool.map(post, (png for png, _ in images))


def class_names(service: Service) -> list[str]:
    headers = {"Authorization": f"Bearer {service.key}"}
    names: list[str] = httpx.get(f"{service.url}/v1/model", headers=headers).json()["classes"]
    return names


def correct(service: Service, images: Labelled) -> list[bool]:
    """Whether the service is right on each image."""
    names = class_names(service)
    answers = send(service, images)
    return [
        answer["label"] == names[label] for answer, (_, label) in zip(answers, images, strict=True)
    ]


def stream(service: Service, project: Path, images: Labelled) -> None:
    """Send images, and the true label of every tenth."""
    names = class_names(service)
    labelled = images[::FEEDBACK_EVERY]
    others = [image for i, image in enumerate(images) if i % FEEDBACK_EVERY]
    for _ in send(service, others):
        pass
    headers = {"Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as client:
        answers = send(service, labelled, keep="?keep_image=true")
        for answer, (_, label) in zip(answers, labelled, strict=True):
            body = {"prediction_id": answer["id"], "label": names[label]}
            client.post("/v1/feedback", json=body).raise_for_status()


def report_of_drift(project: Path) -> str:
    """The first line of the report; `make drift` has to end with the exit code of drift."""
    done = subprocess.run(
        ["make", "--silent", "drift"],
        cwd=project,
        env=project_environment(),
        capture_output=True,
        encoding="utf-8",
    )
    report = (project / "build/drift/report.md").read_text(encoding="utf-8")
    if done.returncode == 0:
        sys.exit(f"no drift was found:\n{report}")
    return report.splitlines()[0].lstrip("# ")


@contextlib.contextmanager
def requests_meanwhile(active: list[Service], png: bytes) -> Iterator[Counter[str]]:
    """Send an image again and again while the block lasts; yields how often which status came.

    active: the one service that gets the requests, which may change.
    """
    statuses, done = Counter[str](), threading.Event()

    def send() -> None:
        with httpx.Client(timeout=30) as client:
            while not done.wait(0.02):
                (service,) = active
                headers = {"Content-Type": "image/png", "Authorization": f"Bearer {service.key}"}
                url = f"{service.url}/v1/predict"
                try:
                    status = str(client.post(url, content=png, headers=headers).status_code)
                except httpx.HTTPError as error:
                    status = type(error).__name__
                statuses[status] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield statuses
    finally:
        done.set()
        thread.join()


def proportion(flags: list[bool]) -> tuple[float, tuple[float, float]]:
    """The share that is true, with its 95 % Wilson interval."""
    number, value, z = len(flags), sum(flags) / len(flags), 1.96
    centre = value + z**2 / (2 * number)
    half = z * math.sqrt(value * (1 - value) / number + z**2 / (4 * number**2))
    return value, ((centre - half) / (1 + z**2 / number), (centre + half) / (1 + z**2 / number))


def share(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def plot(
    original: dict[str, Any], retrained: dict[str, Any], before: list[bool], after: list[bool]
) -> None:
    """Accuracy before and after, on original and on shifted images, as results/loop.svg."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    series = {
        "original test set": [(m["accuracy"], m["accuracy_ci95"]) for m in (original, retrained)],
        "rotated and darker images": [proportion(before), proportion(after)],
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
