"""The answer serving=torchserve: its container gives PyTorch's labels, and lets few things in."""

import csv
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from .bakes import Bake, BakeOf, bake
from .deployment import docker, start_docker
from .pictures import png
from .servers import START_SECONDS
from .test_deploy import HARDENED, train_quickly, wait_for
from .test_pipeline import IDENTITY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torchserve")]


def test_generating_warns_of_what_is_no_longer_maintained(bake_of: BakeOf) -> None:
    assert "TorchServe is no longer maintained" in bake_of("torchserve").output
    assert "CVE-2023-43654" in bake_of("torchserve").read("deploy/torchserve/README.md")
    assert "TorchServe" not in bake_of("default").output


@dataclass(frozen=True)
class Served:
    """A project whose image runs as a container."""

    project: Bake
    container: str
    url: str

    def token(self, kind: str) -> dict[str, str]:
        """The header that lets a request in."""
        keys = docker("exec", self.container, "cat", "/state/key_file.json")
        return {"Authorization": f"Bearer {json.loads(keys)[kind]['key']}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Iterator[Served]:
    start_docker()
    answers = {"serving": "torchserve", "project_name": "Torched"}
    project = bake(tmp_path_factory.mktemp("torchserve"), answers, IDENTITY, environment)
    train_quickly(project, epochs=6)
    project.run("make", "repro")
    image = project.run("make", "--silent", "image").stdout.split()[-1]
    assert "20 test images the labels that `export` got" in project.run("make", "smoke").stdout
    container = docker("run", "--detach", *HARDENED, "--publish=127.0.0.1::8000", image)
    try:
        wait_for(container, "healthy")
        address = docker("port", container, "8000").splitlines()[0]
        yield Served(project, container, f"http://{address}")
    finally:
        docker("rm", "--force", "--volumes", container)


def test_a_second_repro_packages_nothing_anew(served: Served) -> None:
    output = served.project.run("uv", "run", "dvc", "repro", "--all-pipelines").stdout
    assert "Running stage" not in output


def test_every_test_picture_gets_pytorchs_label(served: Served) -> None:
    images = np.load(served.project.path / "data/prepared/test_images.npy")
    rows = csv.DictReader(served.project.read("reports/predictions.csv").splitlines())
    digest = json.loads(served.project.read("model/metadata.json"))["sha256"]
    options: dict[str, Any] = {"headers": served.token("inference"), "timeout": START_SECONDS}
    with httpx.Client(base_url=served.url, **options) as client:
        answers = [client.post("/predictions/model", content=png(image)).json() for image in images]
    assert [answer["label"] for answer in answers] == [row["prediction"] for row in rows]
    assert {answer["model"]["sha256"] for answer in answers} == {digest}


def test_nobody_gets_in_without_a_token(served: Served) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, served.token("management")):
        response = httpx.post(
            f"{served.url}/predictions/model", content=b"", headers=headers, timeout=START_SECONDS
        )
        assert response.is_client_error
        assert "Token Authorization failed" in response.text


def test_what_is_no_picture_is_refused_in_words(served: Served) -> None:
    token = served.token("inference")
    response = httpx.post(
        f"{served.url}/predictions/model", content=b"words", headers=token, timeout=START_SECONDS
    )
    assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "not an image" in response.json()["detail"]


def test_management_is_closed_from_outside(served: Served) -> None:
    address = docker("inspect", "--format={{.NetworkSettings.IPAddress}}", served.container)
    for port in (8081, 8082):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{address}:{port}/models", headers=served.token("management"))
    register = httpx.post(
        f"{served.url}/models", headers=served.token("management"), timeout=START_SECONDS
    )
    assert register.is_client_error


def test_a_crashed_worker_makes_it_unready_until_there_is_a_new_one(served: Served) -> None:
    docker("exec", served.container, "pkill", "-9", "-f", "model_service_worker")
    check = ["docker", "exec", served.container, "python", "/app/healthcheck.py"]
    states: list[int] = []
    deadline = time.monotonic() + START_SECONDS
    while not states or states[-1] != 0:
        assert time.monotonic() < deadline, states
        states.append(subprocess.run(check, capture_output=True).returncode)
    assert len(states) > 1
    assert set(states[:-1]) == {1}
