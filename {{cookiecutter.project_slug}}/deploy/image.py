"""The image: build it and push it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .settings import VERSION, Settings
from .shell import DeployError, run

DOCKERFILE = Path("deploy/docker/Dockerfile")
METADATA = Path("model/metadata.json")
PUSHED = Path("build/image.txt")  # name and digest of the image that was pushed last


def name_of_image(settings: Settings) -> str:
    """Repository and tag; the tag is the commit that is checked out."""
    return f"{settings.repository}:{_revision()[:12]}"


def build(settings: Settings) -> str:
    """Build the image with the model in `model/`, and return its name."""
    image = name_of_image(settings)
    arguments = {
        "PYTHON_VERSION": python_version(),
        "REVISION": _revision(),
        "VERSION": VERSION,
        "MODEL_SHA256": model_sha256(),
    }
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    run("docker", "build", f"--file={DOCKERFILE}", f"--tag={image}", *options, ".", stderr=None)
    return image


def push(settings: Settings) -> str:
    """Push the image, and return its name by digest."""
    image = name_of_image(settings)
    with logged_in(settings):
        run("docker", "push", "--quiet", image)
    digests: list[str] = inspect(image)["RepoDigests"]
    (pushed,) = (digest for digest in digests if digest.startswith(f"{settings.repository}@"))
    PUSHED.parent.mkdir(exist_ok=True)
    PUSHED.write_text(f"{pushed}\n", encoding="utf-8")
    return pushed


def pushed_image(settings: Settings) -> str:
    """The image to deploy: the one that is asked for, or else the one pushed last from here."""
    if not settings.image and not PUSHED.exists():
        raise DeployError("There is no image to deploy: run `make push`, or set IMAGE.")
    image = settings.image or PUSHED.read_text(encoding="utf-8").strip()
    if "@sha256:" not in image:
        raise DeployError(f"IMAGE has to be name@sha256:…, which never changes, not {image}.")
    return image


@contextmanager
def logged_in(settings: Settings, run: Callable[..., str] = run) -> Iterator[None]:
    """Docker is logged in to the registry, where there is a password for it; afterwards no more.

    Args:
        run: runs the command, on this machine or on a host.
    """
    if not settings.registry_user:
        yield
        return
    registry = settings.repository.partition("/")[0]
    password = settings.registry_password.get_secret_value()
    login = ("docker", "login", f"--username={settings.registry_user}", "--password-stdin")
    run(*login, registry, stdin=password)
    try:
        yield
    finally:
        run("docker", "logout", registry)


def inspect(name: str) -> dict[str, Any]:
    """All that docker knows of an image or a container."""
    (state,) = json.loads(run("docker", "inspect", name))
    return dict(state)


def model_sha256() -> str:
    """The digest of the model in `model/`."""
    if not METADATA.exists():
        raise DeployError(f"{METADATA} not found: train a model first, by `make repro`.")
    return str(json.loads(METADATA.read_text(encoding="utf-8"))["sha256"])


def python_version() -> str:
    """The version of Python that the image is made for."""
    return Path(".python-version").read_text(encoding="utf-8").strip()


def _revision() -> str:
    return run("git", "rev-parse", "HEAD")
