"""`make demo`: generate a project with the defaults, run it to a served prediction, and show it."""

import argparse
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from cookiecutter.main import cookiecutter
from PIL import Image

TEMPLATE = Path(__file__).parent.parent
READY_SECONDS = 60
NUM_SENT = 4
SHADES = " .:-=+*#%@"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=TEMPLATE / "build", help="folder to work in")
    folder: Path = parser.parse_args().into
    start = time.perf_counter()
    project = generate(folder)
    train(project)
    with serve(project) as service:
        show_metrics(project)
        show_predictions(project, service)
    print(
        f"\nFrom nothing to served predictions in {time.perf_counter() - start:.0f} s. Go on with\n"
    )
    print(f"    cd {os.path.relpath(project)}")
    print("    make run     # serve it on http://127.0.0.1:8000, with a page to draw on\n")


def generate(folder: Path) -> Path:
    """Put a fresh project into `folder`; an earlier one goes when the new one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        generated = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=scratch))
        project = folder / generated.name
        shutil.rmtree(project, ignore_errors=True)
        generated.replace(project)
    return project


def train(project: Path) -> None:
    """Install the project and run its pipeline."""
    subprocess.run(["make", "setup", "repro"], cwd=project, env=project_environment(), check=True)


def project_environment() -> dict[str, str]:
    """The environment of a user: not in the template's virtual environment, with uv on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    folders = environment["PATH"].split(os.pathsep)
    without_ours = [folder for folder in folders if Path(folder) != Path(sys.executable).parent]
    uv = environment.get("UV")  # set by `uv run`, which does not put itself on the path
    first = [str(Path(uv).parent)] if uv else []
    return environment | {"PATH": os.pathsep.join(first + without_ours)}


@dataclass(frozen=True)
class Service:
    """Where a project is served, and the API key that may ask it."""

    url: str
    key: str


@contextlib.contextmanager
def serve(
    project: Path, environment: str = "production", key_options: Sequence[str] = ()
) -> Iterator[Service]:
    """Run the project's service for as long as the block lasts; in production, keys are needed."""
    package = next(path.parent.name for path in project.glob("src/*/__init__.py"))
    port = free_port()
    env = project_environment() | {"ENVIRONMENT": environment, "PORT": str(port)}
    module = ["uv", "run", "--quiet", "python", "-m", f"{package}.serving"]
    create_key = [*module[:-1], f"{package}.serving.keys", "create", f"demo-{port}", *key_options]
    with tempfile.TemporaryDirectory() as name:
        keys, log = Path(name) / "keys.json", Path(name) / "log"
        env |= {"API_KEYS_FILE": str(keys)}
        with log.open("wb") as output:
            server = subprocess.Popen(module, cwd=project, env=env, stdout=output)
        try:
            # Meanwhile: the service reads its keys when a request comes.
            key = subprocess.check_output(create_key, cwd=project, env=env, encoding="utf-8")
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, server, log)
            yield Service(url, key.strip())
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once a model is loaded; end the program where the server cannot get there."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    sys.exit(f"error: the service did not get ready:\n{log.read_text(encoding='utf-8')}")


def show_metrics(project: Path) -> None:
    metrics = read_json(project / "metrics/evaluation.json")
    num_test = sum(read_json(project / "data/prepared/dataset.json")["counts"]["test"].values())
    low, high = metrics["accuracy_ci95"]
    rows = {
        "accuracy": f"{metrics['accuracy']:.4f}   (95 % interval {low:.4f} to {high:.4f})",
        "macro F1": f"{metrics['f1_macro']:.4f}",
        "calibration error": f"{metrics['ece']:.4f}",
        "logistic regression": f"{metrics['baseline']['accuracy']:.4f}   accuracy, for comparison",
    }
    print(f"\nOn the {num_test} test images, which the model has never seen:\n")
    for name, value in rows.items():
        print(f"    {name:<20} {value}")


def show_predictions(project: Path, service: Service) -> None:
    """Send the first test images to the service, and print images, predictions and true labels."""
    prepared = project / "data/prepared"
    images: npt.NDArray[np.uint8] = np.load(prepared / "test_images.npy", mmap_mode="r")[:NUM_SENT]
    classes = read_json(prepared / "dataset.json")["classes"]
    labels = np.load(prepared / "test_labels.npy")[:NUM_SENT]
    best = [predict(service, encode_png(pixels))["probabilities"][0] for pixels in images]
    predicted = [f"label   {answer['label']}, {answer['probability']:.0%}" for answer in best]
    true_labels = [f"true    {classes[label]}" for label in labels]
    print(f"\nThe first {NUM_SENT} of them, sent to {service.url}/v1/predict:\n")
    for row in zip(*map(draw, images), strict=True):
        print("   ", "  ".join(row))
    print()
    for texts in (predicted, true_labels):
        print("   ", "  ".join(text.ljust(2 * images.shape[3]) for text in texts))


def predict(service: Service, png: bytes) -> dict[str, Any]:
    """The service's response to one image."""
    headers = {"Content-Type": "image/png", "Authorization": f"Bearer {service.key}"}
    response = httpx.post(f"{service.url}/v1/predict", content=png, headers=headers)
    prediction: dict[str, Any] = response.raise_for_status().json()
    return prediction


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """uint8 (1, H, W) or (3, H, W) to the bytes of a PNG file."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def draw(pixels: npt.NDArray[np.uint8]) -> list[str]:
    """Image (C, H, W) as lines of characters, two a pixel since they are higher than wide."""
    levels = pixels.mean(axis=0) / 256 * len(SHADES)
    return ["".join(2 * SHADES[int(level)] for level in row) for row in levels]


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    main()
