"""How to talk to the container: TorchServe, which wants a token."""

import json

import httpx

from .pictures import labelled_pictures
from .shell import DeployError, run

SIZE_BUDGET_MB = 1500  # what the image may add to its base image
OPEN: dict[str, str] = {}  # nothing opens it: the smoke test uses a token like everybody else


def is_ready(url: str, container: str) -> bool:
    """Whether the model's workers are ready; see deploy/torchserve/healthcheck.py."""
    return run("docker", "inspect", "--format={{.State.Health.Status}}", container) == "healthy"


def check(url: str, container: str, model_sha256: str) -> int:
    """Send test pictures, and give their number.

    Raises:
        DeployError: another label than the evaluation saw, or another model.
    """
    keys = json.loads(run("docker", "exec", container, "cat", "/state/key_file.json"))
    token = {"Authorization": f"Bearer {keys['inference']['key']}"}
    number = 0
    for number, (picture, label) in enumerate(labelled_pictures(), start=1):
        response = httpx.post(f"{url}/predictions/model", content=picture, headers=token)
        answer = response.raise_for_status().json()
        if (answer["label"], answer["model"]["sha256"]) != (label, model_sha256):
            raise DeployError(f"Test picture {number} is {label}, but got: {answer}")
    return number
