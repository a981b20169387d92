"""How to talk to the container: FastAPI."""

import httpx

from .pictures import labelled_pictures
from .shell import DeployError

SIZE_BUDGET_MB = 200  # what the image may add to its base image
OPEN = {"ENVIRONMENT": "development"}  # no API keys: for the smoke test, on loopback


def is_ready(url: str, container: str) -> bool:
    """Whether the service answers and has a model."""
    try:
        return httpx.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def check(url: str, container: str, model_sha256: str) -> int:
    """Send test pictures, and give their number.

    Raises:
        DeployError: another label than the evaluation saw, or another model.
    """
    number = 0
    for number, (picture, label) in enumerate(labelled_pictures(), start=1):
        answer = httpx.post(f"{url}/v1/predict", content=picture).raise_for_status().json()
        if (answer["label"], answer["model"]["sha256"]) != (label, model_sha256):
            raise DeployError(f"Test picture {number} is {label}, but got: {answer}")
    return number
