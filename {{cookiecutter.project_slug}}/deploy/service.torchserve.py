"""How to talk to the container: TorchServe, which makes its own tokens."""

import json

from .shell import run

SIZE_BUDGET_MB = 1500  # what the image may add to its base image
PATH = "/predictions/model"
REFUSED = 400  # what a request without a token gets


def api_key(container: str) -> str:
    """Read the token for predictions, which TorchServe has written when it started."""
    keys = json.loads(run("docker", "exec", container, "cat", "/state/key_file.json"))
    return str(keys["inference"]["key"])
