"""The image: build it, try it as it will run, and push it."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import service
from .settings import VERSION, Settings
from .shell import DeployError, need, run

DOCKERFILE = Path("deploy/docker/Dockerfile")
METADATA = Path("model/metadata.json")
PUSHED = Path("build/image.txt")  # name and digest of the image that was pushed last
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
READY_SECONDS = 60
PORT = 8000


def need_docker() -> None:
    """See that there is a Docker engine to talk to."""
    need("docker", "Docker Engine, https://docs.docker.com/engine/install", ["docker", "info"])


def name_of_image(settings: Settings) -> str:
    """Repository and tag; the tag is the commit that is checked out."""
    return f"{settings.repository}:{_revision()[:12]}"


def build(settings: Settings) -> str:
    """Build the image with the model in `model/`, and give its name."""
    need_docker()
    image = name_of_image(settings)
    arguments = {
        "PYTHON_VERSION": _python_version(),
        "REVISION": _revision(),
        "VERSION": VERSION,
        "MODEL_SHA256": _model()["sha256"],
    }
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    run("docker", "build", f"--file={DOCKERFILE}", f"--tag={image}", *options, ".", show=True)
    return image


def smoke(settings: Settings) -> str:
    """Run the image as production will, send it test pictures, and give a sentence on the result.

    Raises:
        DeployError: it is too large, gets not ready, holds another model than `model/`, or gives
            other labels than the evaluation saw.
    """
    need_docker()
    image = name_of_image(settings)
    model: str = _model()["sha256"]
    label = _inspect(image)["Config"]["Labels"]["model.sha256"]
    if label != model:
        raise DeployError(f"{image} holds the model {label[:12]}, not {model[:12]}: build it anew.")
    added = _added_mb(image)
    if added > service.SIZE_BUDGET_MB:
        raise DeployError(
            f"{image} adds {added:.0f} MB to its base image; SIZE_BUDGET_MB in deploy/service.py "
            f"is {service.SIZE_BUDGET_MB}."
        )
    with _running(image) as (container, url, seconds):
        num_pictures = service.check(url, container, model)
        usage = run("docker", "stats", "--no-stream", "--format={{.MemUsage}}", container)
    return (
        f"{image} adds {added:.0f} MB to its base image, was ready in {seconds:.1f} s, gave "
        f"{num_pictures} test pictures the labels of the evaluation, "
        f"and uses {usage.partition(' ')[0]} of memory."
    )


def push(settings: Settings) -> str:
    """Push the image, and give its name by digest."""
    need_docker()
    if settings.registry_user:
        registry, _, _ = settings.repository.partition("/")
        login = ["docker", "login", f"--username={settings.registry_user}", "--password-stdin"]
        run(*login, registry, stdin=settings.registry_password.get_secret_value())
    image = name_of_image(settings)
    run("docker", "push", "--quiet", image)
    digests: list[str] = _inspect(image)["RepoDigests"]
    (pushed,) = (digest for digest in digests if digest.startswith(f"{settings.repository}@"))
    PUSHED.parent.mkdir(exist_ok=True)
    PUSHED.write_text(f"{pushed}\n", encoding="utf-8")
    return pushed


def pushed_image(settings: Settings) -> str:
    """What to deploy: the image that is asked for, or else the one pushed last from here."""
    if not settings.image and not PUSHED.exists():
        raise DeployError("There is no image to deploy: run `make push`, or set IMAGE.")
    image = settings.image or PUSHED.read_text(encoding="utf-8").strip()
    if "@sha256:" not in image:
        raise DeployError(f"IMAGE has to be name@sha256:…, which never changes, not {image}.")
    return image


@contextmanager
def _running(image: str) -> Iterator[tuple[str, str, float]]:
    """The image as a container on loopback: its id and URL, and the seconds until it was ready."""
    environment = [f"--env={name}={value}" for name, value in service.OPEN.items()]
    start = time.monotonic()
    port = f"--publish=127.0.0.1::{PORT}"
    container = run("docker", "run", "--detach", *HARDENED, port, *environment, image)
    try:
        address = run("docker", "port", container, str(PORT)).splitlines()[0]
        url = f"http://{address}"
        while not service.is_ready(url, container):
            state = _inspect(container)["State"]
            if not state["Running"] or time.monotonic() - start > READY_SECONDS:
                raise DeployError(f"{image} did not get ready. {explain(state, _logs(container))}")
            time.sleep(0.05)
        yield container, url, time.monotonic() - start
    finally:
        run("docker", "rm", "--force", "--volumes", container)


def explain(state: dict[str, Any], logs: str) -> str:
    """Why a container is not ready, from its state and its log."""
    if state.get("OOMKilled"):
        return "It was killed for want of memory: give it more."
    what = "is not ready" if state["Running"] else f"ended with {state['ExitCode']}"
    return f"It {what}; the end of its log:\n" + "\n".join(logs.strip().splitlines()[-8:])


def _logs(container: str) -> str:
    command = ["docker", "logs", container]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


def _added_mb(image: str) -> float:
    base = f"python:{_python_version()}-slim"
    if not run("docker", "image", "ls", "--quiet", base):
        run("docker", "pull", "--quiet", base)
    return float(_inspect(image)["Size"] - _inspect(base)["Size"]) / 1e6


def _inspect(thing: str) -> dict[str, Any]:
    (state,) = json.loads(run("docker", "inspect", thing))
    return dict(state)


def _model() -> dict[str, Any]:
    if not METADATA.exists():
        raise DeployError(f"{METADATA} not found: train a model first, by `make repro`.")
    return dict(json.loads(METADATA.read_text(encoding="utf-8")))


def _python_version() -> str:
    return Path(".python-version").read_text(encoding="utf-8").strip()


def _revision() -> str:
    need("git", "git, https://git-scm.com")
    return run("git", "rev-parse", "HEAD")
