"""The site's model in a real browser beside the service's predictor, image by image.

    uv run python -m benchmarks.site --data FOLDER

FOLDER holds Fashion-MNIST's official files. Wants the system's Chromium (scripts/screenshot.py).
"""

import argparse
import base64
import io
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from scripts.demo import project_environment
from scripts.screenshot import CHROMIUM
from tests.pictures import png

from .project import generated, measure, served_folder
from .report import write

NUM_IMAGES = 1000
NUM_PHOTOGRAPHS = 50
NUM_VISITS = 5
# Lighthouse's "slow 4G": 1.6 Mbit/s down, 750 kbit/s up, 150 ms
PHONE = {"offline": False, "latency": 150, "downloadThroughput": 2e5, "uploadThroughput": 93_750}
QUICK = {"fashion-mnist": "prepare.limit=5000 train.epochs=3 gate.min_accuracy=0.5", "digits": ""}
# Runs the page's own code on an image, and gives the probabilities by class.
CLASSIFY = """async ([image, type]) => {
    const bytes = Uint8Array.from(atob(image), (byte) => byte.charCodeAt(0));
    const { classify } = await import(new URL("static/site.js", document.baseURI).href);
    const { probabilities } = await classify(new Blob([bytes], { type }));
    return Object.fromEntries(probabilities.map(({ label, probability }) => [label, probability]));
}"""
# The same for files by the code that the service runs.
PREDICT = """
import json, sys
from pathlib import Path
from my_project.preprocess import decode_image
from my_project.serving.predictor import Predictor
predictor = Predictor.load(Path("model"), num_threads=1)
for path in sorted(Path(sys.argv[1]).iterdir()):
    pixels = decode_image(path.read_bytes(), predictor.metadata.image)
    values = predictor.predict(pixels[None])[0].tolist()
    print(json.dumps(dict(zip(predictor.metadata.classes, values))))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    rows, loads = [], []
    for dataset, parameters in QUICK.items():
        with generated({"dataset": dataset}) as project, served_folder(data) as url:
            if parameters:
                measure(project, "make", "params", env={"PARAMETERS": parameters})
            env = {"DATA_SOURCE_URL": url} if dataset == "fashion-mnist" else {}
            measure(project, "make", "repro", "site", env=env)
            rows += [[dataset, *row] for row in _compare(project)]
            first, later = load_seconds(project)
            loads.append([dataset, f"{first:.0f}", f"{later:.1f}"])
    write(
        "site-load",
        f"Seconds until the model is ready: 1.6 Mbit/s, 150 ms, {NUM_VISITS} later visits",
        "python -m benchmarks.site --data FOLDER",
        ["data set", "first visit", "later visits, median"],
        loads,
    )
    write(
        "site",
        "The model in the browser (ONNX Runtime Web) beside the service's predictor",
        "python -m benchmarks.site --data FOLDER",
        ["data set", "images", "number", "other label", "largest difference of a probability"],
        rows,
    )


def load_seconds(project: Path) -> tuple[float, float]:
    """How long it takes until the model is ready, on a phone's network.

    Returns:
        Seconds of the first visit, and of one with the runtime in the browser's cache.
    """
    times = []
    with (
        served_folder(project / "build/site") as url,
        sync_playwright() as playwright,
        tempfile.TemporaryDirectory() as profile,  # a private window keeps no file of this size
    ):
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=["--no-sandbox"],
            viewport={"width": 393, "height": 851},
            is_mobile=True,
            has_touch=True,
        )
        page = browser.new_page()
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        network.send("Network.emulateNetworkConditions", PHONE)
        for _ in range(1 + NUM_VISITS):
            start = time.perf_counter()
            page.goto(url)
            page.get_by_text("ready", exact=True).wait_for(timeout=300_000)
            times.append(time.perf_counter() - start)
            page.goto("about:blank")
        browser.close()
    return times[0], statistics.median(times[1:])


def _compare(project: Path) -> list[list[str]]:
    images = np.load(project / "data/prepared/test_images.npy", mmap_mode="r")[:NUM_IMAGES]
    kinds = {
        "of the test set, PNG": {f"{i:04}.png": png(pixels) for i, pixels in enumerate(images)},
        "photographs of 1200x900, JPEG": photographs(NUM_PHOTOGRAPHS),
    }
    rows = []
    with served_folder(project / "build/site") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        for kind, files in kinds.items():
            difference, num_other = compare(page, project, "uv run --quiet python", files)
            rows.append([kind, str(len(files)), str(num_other), f"{difference:.1e}"])
        browser.close()
    return rows


def photographs(number: int) -> dict[str, bytes]:
    """JPEG files of smooth random colours, far larger than a model's image."""
    random = np.random.default_rng(0)
    files = {}
    for i in range(number):
        colours = Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        colours.resize((1200, 900), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files[f"{i:04}.jpg"] = buffer.getvalue()
    return files


def compare(page: Page, project: Path, python: str, files: dict[str, bytes]) -> tuple[float, int]:
    """Classify images in the browser and by the service's code.

    Args:
        page: the site.
        project: whose site it is.
        python: the command of the project's Python.
        files: PNG and JPEG images by their names, in order.

    Returns:
        The largest difference of a probability, and the number of images with another label.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        command = [*python.split(), "-c", PREDICT, folder]
        output = subprocess.run(
            command, cwd=project, env=project_environment(), check=True, stdout=subprocess.PIPE
        ).stdout
    expected: list[dict[str, float]] = [json.loads(line) for line in output.splitlines()]
    types = {".png": "image/png", ".jpg": "image/jpeg"}
    found: list[dict[str, float]] = [
        page.evaluate(CLASSIFY, [base64.b64encode(data).decode(), types[Path(name).suffix]])
        for name, data in files.items()
    ]
    pairs = list(zip(expected, found, strict=True))
    difference = max(abs(one[name] - other[name]) for one, other in pairs for name in one)
    labels = [{max(answer, key=answer.__getitem__) for answer in pair} for pair in pairs]
    return difference, sum(len(pair) > 1 for pair in labels)


if __name__ == "__main__":
    main()
