"""Try the image as it will run: hardened, with API keys, on images whose labels are known."""

import io
import json
import subprocess
import time
from collections.abc import Iterator

import httpx
import numpy as np
from PIL import Image

from . import service
from .image import inspect, model_sha256, name_of_image, python_version
from .settings import Settings
from .shell import DeployError, run

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
PORT = 8000
READY_SECONDS = 60


def smoke(settings: Settings) -> str:
    """Run the image as production will, send it test images, and return a sentence on the result.

    Raises:
        DeployError: it is too large, does not become ready, holds another model than `model/`,
            serves requests without an API key, or predicts other labels than `export` got.
    """
    name = name_of_image(settings)
    model = model_sha256()
    label = inspect(name)["Config"]["Labels"]["model.sha256"]
    if label != model:
        raise DeployError(f"{name} holds the model {label[:12]}, not {model[:12]}: build it anew.")
    added_mb = (inspect(name)["Size"] - _size_of_base()) / 1e6
    if added_mb > service.SIZE_BUDGET_MB:
        raise DeployError(
            f"{name} adds {added_mb:.0f} MB to its base image; SIZE_BUDGET_MB in deploy/service.py "
            f"is {service.SIZE_BUDGET_MB}."
        )
    start = time.monotonic()
    often = "--health-interval=100ms"
    publish = f"--publish=127.0.0.1::{PORT}"
    container = run("docker", "run", "--detach", *HARDENED, often, publish, name)
    try:
        _wait_until_healthy(container)
        seconds = time.monotonic() - start
        num_images = _check_predictions(container, model)
        memory = run("docker", "stats", "--no-stream", "--format={{.MemUsage}}", container)
    finally:
        run("docker", "rm", "--force", "--volumes", container)
    return (
        f"{name} adds {added_mb:.0f} MB to its base image, was ready in {seconds:.1f} s, gave "
        f"{num_images} test images the labels that `export` got, "
        f"and uses {memory.partition(' ')[0]} of memory."
    )


def _size_of_base() -> int:
    base = f"python:{python_version()}-slim"
    if not run("docker", "image", "ls", "--quiet", base):
        run("docker", "pull", "--quiet", base)
    return int(inspect(base)["Size"])


def _wait_until_healthy(container: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        state = json.loads(run("docker", "inspect", "--format={{json .State}}", container))
        if state["Health"]["Status"] == "healthy":
            return
        if state["OOMKilled"]:
            raise DeployError("The container was killed for lack of memory: give it more.")
        if not state["Running"] or time.monotonic() > deadline:
            what = "is not ready" if state["Running"] else f"ended with {state['ExitCode']}"
            log = run("docker", "logs", "--tail=8", container, stderr=subprocess.STDOUT)
            raise DeployError(f"The container {what}; the end of its log:\n{log}")
        time.sleep(0.05)


def _check_predictions(container: str, model: str) -> int:
    """Send test images with an API key, and return their number."""
    address = run("docker", "port", container, str(PORT)).splitlines()[0]
    url = f"http://{address}{service.PATH}"
    headers = {"Authorization": f"Bearer {service.api_key(container)}"}
    if (status := httpx.post(url).status_code) != service.REFUSED:
        raise DeployError(f"A request without an API key got {status}, not {service.REFUSED}.")
    number = 0
    for number, (image, label) in enumerate(_test_images(), start=1):
        answer = httpx.post(url, content=image, headers=headers).raise_for_status().json()
        if (answer["label"], answer["model"]["sha256"]) != (label, model):
            raise DeployError(f"Test image {number} is {label}, but got: {answer}")
    return number


def _test_images() -> Iterator[tuple[bytes, str]]:
    """PNG files of the test images beside the model, and the label that it gave to each."""
    with np.load("model/samples.npz") as samples:
        for pixels, label in zip(samples["images"], samples["predictions"], strict=True):
            png = io.BytesIO()
            Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).save(png, "PNG")  # from (C, H, W)
            yield png.getvalue(), str(label)
