"""From a push to an answering container: real Docker, registry, SSH server and workflow runs."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from .bakes import Bake, BakeOf, bake, clean_environment, missing, run
from .deployment import VENV, docker, provide, target
from .loop import Turn, turn
from .pictures import png
from .product.github import stand_in
from .release import Released, first_release
from .servers import START_SECONDS, free_port
from .test_pipeline import IDENTITY

RELEASE = ".github/workflows/release.yml"
HARDENED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
# Fails as soon as the service answers that it is not ready, however long it takes to answer.
UNREADY = """
import time, urllib.error, urllib.request
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:8000/readyz")
    except urllib.error.HTTPError as answer:
        raise SystemExit(str(answer))
    except OSError:
        time.sleep(0.1)
"""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deploy")]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Iterator[Released]:
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "work").mkdir()

    def make(answers: dict[str, str]) -> Bake:
        return bake(folder / "work", answers | {"project_name": "Deployed"}, IDENTITY, environment)

    def prepare(project: Bake) -> None:
        train_quickly(project, epochs=12)
        for file in project.path.glob("tests/test_*.py"):  # `release` waits for them
            if file.name != "test_tta.py":
                file.unlink()

    with target(folder) as place:
        yield first_release(place, make, prepare)


@pytest.fixture(scope="module")
def database(released: Released) -> str:
    """The URL of the PostgreSQL that the service uses from now on."""
    provide("postgres:17")
    return released.use_postgresql()


@pytest.fixture(scope="module")
def turned(released: Released, database: str) -> Turn:
    """One turn of the loop, with images that lie on their side."""
    stream, judged = (images(released, split, turned=True) for split in ("train", "test"))
    with stand_in() as github:
        return turn(
            released, database, github, stream, judged, every=2, parameters="train.epochs=18"
        )


def images(released: Released, split: str, turned: bool = False) -> list[tuple[bytes, str]]:
    """A split's images as PNG files with their classes; on their side if `turned`."""
    prepared = released.project.path / "data/prepared"
    arrays = np.load(prepared / f"{split}_images.npy")
    if turned:
        arrays = np.rot90(arrays, axes=(2, 3))
    labels = np.load(prepared / f"{split}_labels.npy")
    return [(png(array), str(label)) for array, label in zip(arrays, labels, strict=True)]


def train_quickly(project: Bake, epochs: int) -> None:
    """A small network and few epochs, for a model that is good enough to be told from chance."""
    file = project.path / "params.yaml"
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    params["model"]["cnn"]["width"] = 8
    params["train"]["epochs"] = epochs
    params["evaluate"]["bootstrap_samples"] = 100
    # Two quick trainings differ by some points by chance alone.
    params["gate"] |= {"min_accuracy": 0.8, "max_accuracy_drop": 0.1, "max_recall_drop": 0.5}
    file.write_text(yaml.safe_dump(params), encoding="utf-8")


def env_file(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def test_a_push_to_main_ends_in_a_container_that_answers(released: Released) -> None:
    model = released.model()
    labels = docker("inspect", "--format={{json .Config.Labels}}", released.image)
    assert model["commit"] == released.commit("HEAD~1")  # it was trained, then committed
    assert json.loads(labels)["org.opencontainers.image.revision"] == released.commit("HEAD")
    assert json.loads(labels)["model.sha256"] == model["sha256"]
    some = images(released, "test")[:100]
    assert sum(released.right(some)) >= 80
    assert {answer["model"]["sha256"] for answer in released.predictions(some)} == {model["sha256"]}


def test_passwords_stay_where_they_were(released: Released) -> None:
    assert (released.target.folder / ".env").stat().st_mode & 0o777 == 0o600
    registry = released.target.env["REGISTRY"].partition("/")[0]
    for folder in (released.target.env["DOCKER_CONFIG"], Path.home() / ".docker"):
        config = Path(folder, "config.json")
        known = json.loads(config.read_text("utf-8")).get("auths", {}) if config.exists() else {}
        assert registry not in known


def test_the_loop_turns_from_drift_to_a_better_model_that_takes_over(turned: Turn) -> None:
    assert turned.issue.startswith("## Drift: found\n")
    assert turned.comment.startswith("## Gate: passed")
    _, (_, better_by_at_least, _) = turned.paired()  # on the images from feedback
    assert better_by_at_least > 0
    old, new = turned.models
    assert set(turned.answers) == {old, new}  # and nothing that failed
    before, after = turned.right
    assert sum(after) > sum(before) + 0.2 * len(before)


def test_versions_change_places_without_a_failed_request(released: Released, turned: Turn) -> None:
    project, (old, new) = released.project, turned.models
    image, _ = images(released, "test")[0]
    with released.target.asked_all_the_time(image) as answers:
        env = released.target.env | {"IMAGE": broken_image(released)}
        failed = project.run("make", "deploy", env=env, check=False)
    assert failed.returncode != 0
    assert "Rolled back" in failed.stderr
    assert "no-such-folder/metadata.json not found" in failed.stderr
    assert set(answers) == {new}

    with released.target.asked_all_the_time(image) as answers:
        project.run("make", "rollback", env=released.target.env)
        assert released.model()["sha256"] == old
    assert set(answers) == {old, new}


def test_two_deployments_at_once_exclude_each_other(released: Released) -> None:
    before = released.model()
    with (released.target.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        env = released.target.env | {"IMAGE": released.image}
        failed = released.project.run("make", "deploy", env=env, check=False)
    assert failed.returncode != 0
    assert "Another deployment is under way on this host." in failed.stderr
    assert released.model() == before


def test_a_deployment_that_ended_while_this_one_waited_for_the_lock_keeps_its_slot(
    bake_of: BakeOf, tmp_path: Path
) -> None:
    takeover = bake_of("default").path / "deploy/takeover.sh"
    stand_ins = {  # the other deployment, which ends just before this one gets the lock; and Docker
        "flock": "touch active/green",
        "docker": 'echo "$*" >>docker.log; [ "$1" != inspect ] || echo healthy false',
        "sleep": "true",
    }
    for name, script in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "active").mkdir()
    (tmp_path / "active/blue").touch()
    env = {"PATH": f"{tmp_path}{os.pathsep}{clean_environment()['PATH']}"}
    done = run("sh", takeover, "5", "image@sha256:new", cwd=tmp_path, env=env)
    assert "answers from the slot blue" in done.stdout
    assert "compose stop green" in (tmp_path / "docker.log").read_text(encoding="utf-8")


def test_the_profile_more_keeps_predictions_in_postgresql_and_measures(
    released: Released, database: str
) -> None:
    provide("prom/prometheus:v3.5.0")
    target, port = released.target, free_port()
    with (target.folder / ".env").open("a", encoding="utf-8") as file:
        file.write(f"PROMETHEUS_PORT={port}\n")
    create = ["python", "-m", f"{released.project.package}.serving.keys", "create", "prometheus"]
    key = docker("exec", target.slot(), *create, "--permission=admin")
    (target.folder / "metrics-key").write_text(key, encoding="utf-8")
    target.compose("up", "--detach", "prometheus")

    count = "SELECT count(*) FROM predictions"
    before = int(released.sql(count))
    released.predictions(images(released, "test")[:20])
    wait_until(lambda: released.sql(count), str(before + 20))
    query = {"query": 'sum(up{job="service"})'}
    prometheus = f"http://127.0.0.1:{port}/api/v1/query"
    wait_until(lambda: value(httpx.get(prometheus, params=query, timeout=START_SECONDS)), "1")
    rules = httpx.get(prometheus.replace("query", "rules"), timeout=START_SECONDS).json()
    assert [group["name"] for group in rules["data"]["groups"]] == ["service"]


def value(answer: httpx.Response) -> str:
    """The one number of an answer from Prometheus, if it has any yet."""
    result = answer.json()["data"]["result"]
    return str(result[0]["value"][1]) if result else "none"


def wait_until(ask: Callable[[], str], expected: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(0.5)


def test_a_first_version_that_fails_leaves_nothing_to_go_back_to(
    released: Released, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    lines = (released.target.folder / ".env").read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("BLUE_IMAGE", "GREEN_IMAGE"))]
    kept = [re.sub(r"(?<=_PORT=127.0.0.1:)\d+", lambda _: str(free_port()), line) for line in kept]
    kept = [f"{line}-first" if line.startswith("COMPOSE_PROJECT_NAME") else line for line in kept]
    (site / ".env").write_text("\n".join(kept) + "\n", "utf-8")
    env = released.target.env | {"DEPLOY_PATH": str(site), "IMAGE": broken_image(released)}
    try:
        failed = released.project.run("make", "deploy", env=env, check=False)
        assert "Rolled back, nothing answers as before" in failed.stderr
        assert (site / ".env").read_text("utf-8").splitlines() == kept
        again = released.project.run("make", "rollback", env=env, check=False)
        assert again.returncode != 0
        assert "There is no earlier version on this host." in again.stderr
    finally:
        run("docker", "compose", "down", "--volumes", cwd=site)


def broken_image(released: Released) -> str:
    """Push an image whose service never gets ready, and give its name by digest."""
    registry = released.target.env["REGISTRY"]
    name = f"{registry}/{released.project.path.name}:broken"
    check = json.dumps(["python", "-c", UNREADY])
    dockerfile = (
        f"FROM {released.image}\nENV MODEL_DIR=/no-such-folder\n"
        f"HEALTHCHECK --interval=1s --timeout={START_SECONDS}s --retries=1 CMD {check}\n"
    )
    env = {"DOCKER_CONFIG": released.target.env["DOCKER_CONFIG"]} | clean_environment()
    subprocess.run(["docker", "build", "-t", name, "-"], input=dockerfile.encode(), check=True)
    login = ["docker", "login", "-u", "ana", "--password-stdin", registry.partition("/")[0]]
    subprocess.run(login, input=b"secret", env=env, check=True)
    subprocess.run(["docker", "push", "-q", name], env=env, check=True)
    return docker("inspect", "--format={{index .RepoDigests 0}}", name)


@pytest.mark.parametrize(
    "options",
    [[*HARDENED], [*HARDENED, "--user=4242:4242"], ["--network=none"], ["--memory=200m"]],
    ids=["hardened", "other user", "no network", "little memory"],
)
def test_the_image_gets_ready_within_seconds_and_stops_at_once(
    options: list[str], released: Released
) -> None:
    container = docker("run", "--detach", *options, released.image)
    try:
        wait_for(container, "healthy")
        docker("stop", f"--time={START_SECONDS}", container)
        code = docker("inspect", "--format={{.State.ExitCode}}", container)
        assert code == "0"  # it would be 137 had it been killed
    finally:
        docker("rm", "--force", "--volumes", container)


def wait_for(container: str, health: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while docker("inspect", "--format={{.State.Health.Status}}", container) != health:
        assert time.monotonic() < deadline, docker("logs", container)
        time.sleep(0.2)


def test_without_a_model_it_stays_unready_and_says_why_once(released: Released) -> None:
    log = log_of_unready("--env=MODEL_DIR=/nowhere", released.image)
    assert log.count("/nowhere/metadata.json not found: run the pipeline, or set MODEL_DIR") == 1


def test_a_changed_model_is_not_served_and_named_in_one_line(
    released: Released, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(released.project.path / "model", folder)
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"one byte too many")
    folder.chmod(0o755)
    mount = f"--volume={folder}:/models:ro"
    log = log_of_unready(mount, "--env=MODEL_DIR=/models", released.image)
    assert log.count("the two do not belong together") == 1


def log_of_unready(*options: str) -> str:
    """Run the image until the engine has found it unready twice, and give its log.

    In the second between, the service tries again and again to load the model.
    """
    often = ["--health-interval=1s", "--env=MODEL_POLL_SECONDS=0.1"]
    container = docker("run", "--detach", *often, *options)
    try:
        deadline = time.monotonic() + START_SECONDS
        while num_unready(container) < 2:
            assert time.monotonic() < deadline, logs(container)
            time.sleep(0.2)
        return logs(container)
    finally:
        docker("rm", "--force", "--volumes", container)


def num_unready(container: str) -> int:
    """How many of the engine's last checks the service has answered with 503."""
    return docker("inspect", "--format={{json .State.Health.Log}}", container).count("Error 503")


def logs(container: str) -> str:
    result = run("docker", "logs", container, cwd=Path.cwd())
    return result.stdout + result.stderr


def test_one_that_is_killed_for_memory_is_reported_as_such(released: Released) -> None:
    container = docker("run", "--detach", "--memory=20m", released.image)
    try:
        assert docker("wait", container) == "137"
        assert docker("inspect", "--format={{.State.OOMKilled}}", container) == "true"
    finally:
        docker("rm", "--force", "--volumes", container)


def test_a_model_other_than_the_named_one_cannot_be_baked_in(released: Released) -> None:
    wrong = f"--build-arg=MODEL_SHA256={'0' * 64}"
    build = ["docker", "build", "--file=deploy/docker/Dockerfile", wrong, "."]
    result = released.project.run(*build, check=False)
    assert result.returncode != 0
    assert "sha256sum" in result.stdout + result.stderr


def test_the_image_holds_neither_pytorch_nor_dvc_nor_secrets(released: Released) -> None:
    files = docker("run", "--rm", "--entrypoint=find", released.image, "/app", "-maxdepth", "5")
    names = {Path(line).name for line in files.splitlines()}
    assert {"onnxruntime", "fastapi", "model.onnx"} <= names
    assert names & {"torch", "dvc", "sympy", ".git", ".env", "prepared", "tests"} == set()


def test_one_sentence_says_what_to_install_where_there_is_no_docker(
    released: Released, tmp_path: Path
) -> None:
    for program in ("uv", "make", "git", "sh", "bash", "env", "python3", "awk", "grep"):
        (tmp_path / program).symlink_to(
            shutil.which(program, path=clean_environment()["PATH"]) or ""
        )
    for goal in ("image", "smoke", "push"):
        result = released.project.run("make", goal, env={"PATH": str(tmp_path)}, check=False)
        assert result.returncode != 0
        (error,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        assert "install Docker Engine, https://docs.docker.com/engine/install" in error
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("server", ["default", "torchserve"])
def test_hadolint_has_no_finding(server: str, bake_of: BakeOf) -> None:
    project = bake_of(server)
    run(VENV / "hadolint", "deploy/docker/Dockerfile", cwd=project.path)


def test_every_manifest_is_valid_for_the_newest_kubernetes(bake_of: BakeOf) -> None:
    folder = bake_of("kubernetes").path / "deploy/kubernetes"
    manifests = [f for f in folder.rglob("*.yaml") if f.name != "kustomization.yaml"]
    assert len(manifests) >= 8
    run(VENV / "kubernetes-validate", "--strict", *manifests, cwd=folder)


def test_torchserve_on_kubernetes_is_asked_for_its_workers(tmp_path: Path) -> None:
    project = bake(tmp_path, {"serving": "torchserve", "deploy_target": "kubernetes"})
    manifest = project.read("deploy/kubernetes/base/deployment.yaml")
    assert manifest.count("/app/healthcheck.py") == 2
    assert "/readyz" not in manifest


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_an_overlay_names_the_image_by_digest(
    overlay: str, bake_of: BakeOf, environment: Path, tmp_path: Path
) -> None:
    if shutil.which("kubectl") is None:
        missing("kubectl is not installed")
    project = bake_of("kubernetes")
    image = f"ghcr.io/ana/my-project@sha256:{'a' * 64}"
    script = f"from deploy.target import manifests; print(manifests({image!r}, {overlay!r}))"
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    rendered = project.run(python, "-B", "-c", script).stdout
    (tmp_path / "all.yaml").write_text(rendered, encoding="utf-8")
    run(VENV / "kubernetes-validate", "--strict", tmp_path / "all.yaml", cwd=tmp_path)
    parts = {part["kind"]: part for part in yaml.safe_load_all(rendered)}
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    assert [container["image"] for container in pod["containers"]] == [image]
    namespaces = {part["metadata"].get("namespace") for part in parts.values()} - {None}
    assert namespaces == {parts["Namespace"]["metadata"]["name"]}


# Stands in for a cluster, whose pods never become ready; the words are kubectl's own.
CLUSTER = """#!/bin/sh
case "$*" in
  kustomize*) exec {kubectl} "$@" ;;
  *"rollout status"*) exit 1 ;;
  *"rollout undo"*)
    [ {revisions} -gt 1 ] && exit 0
    echo "error: no rollout history found for deployment" >&2
    exit 1 ;;
  *logs*) echo "[pod/a] metadata.json not found" ;;
  *) cat > /dev/null ;;
esac
"""


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        (1, "did not become ready in 1 s, and there is no version before it to go back to."),
        (2, "error: Rolled back: {image} did not become ready in 1 s."),
    ],
)
def test_a_rollout_that_fails_on_kubernetes_says_whether_there_was_a_version_before(
    revisions: int, message: str, bake_of: BakeOf, environment: Path, tmp_path: Path
) -> None:
    kubectl = shutil.which("kubectl") or missing("kubectl is not installed")
    project = bake_of("kubernetes").copy(tmp_path)
    cluster = tmp_path / "bin/kubectl"
    cluster.parent.mkdir()
    cluster.write_text(CLUSTER.format(kubectl=kubectl, revisions=revisions), encoding="utf-8")
    cluster.chmod(0o755)
    image = f"ghcr.io/ana/my-project@sha256:{'a' * 64}"
    path = f"{cluster.parent}{os.pathsep}{clean_environment()['PATH']}"
    env = {"PATH": path, "IMAGE": image, "DEPLOY_TIMEOUT": "1"}
    failed = project.run(
        environment / "bin/python", "-B", "-m", "deploy", "deploy", env=env, check=False
    )
    assert failed.returncode == 1
    assert message.format(image=image) in failed.stderr
    assert "[pod/a] metadata.json not found" in failed.stderr
