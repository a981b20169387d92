"""How to talk to the container: FastAPI."""

from .settings import PACKAGE
from .shell import run

SIZE_BUDGET_MB = 200  # what the image may add to its base image
PATH = "/v1/predict"
REFUSED = 401  # what a request without a key gets


def api_key(container: str) -> str:
    """Create an API key in a container that has just started."""
    keys = ("python", "-m", f"{PACKAGE}.serving.keys")
    return run("docker", "exec", container, *keys, "create", "smoke")
