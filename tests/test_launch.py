"""Training on more than one machine: a real Slurm cluster, and two hosts with a network between."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from .bakes import TEMPLATE, Bake, BakeOf, clean_environment, missing, run
from .workers import take_all_cores

EPOCHS = 12  # of the training on Slurm, which is killed after some of them
LOCAL_SLURM = TEMPLATE.parent / "shared/tools/local-slurm"
JOB = "deploy/launch/slurm.sbatch"
JOB_SECONDS = 300


@pytest.fixture(scope="module")
def slurm() -> None:
    """A cluster of two nodes, n1 and n2."""
    if LOCAL_SLURM.exists() and os.getuid() == 0:
        start = [LOCAL_SLURM]
        subprocess.run(start, check=True, capture_output=True, preexec_fn=take_all_cores)
    if not shutil.which("sbatch"):
        missing("there is no Slurm cluster (Debian: slurmctld, slurmd, slurm-client, munge)")


@pytest.fixture
def project(demo: Bake, tmp_path: Path) -> Bake:
    """A copy of a project with its data, in a folder that all nodes and hosts see."""
    return demo.copy(tmp_path)


def train_for(project: Bake, epochs: int) -> None:
    change = project.read("params.yaml").replace("epochs: 30", f"epochs: {epochs}")
    assert change != project.read("params.yaml")
    (project.path / "params.yaml").write_text(change, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.xdist_group("launch")
def test_a_node_that_is_killed_costs_time_and_no_accuracy(slurm: None, project: Bake) -> None:
    train_for(project, EPOCHS)
    undisturbed = train(project)
    job = submit(project)
    wait_until(lambda: epoch(project) >= 5, job)
    with node_down("n2"):
        wait_until(lambda: state(job) == "PENDING", job)
    # Slurm waits two minutes before it starts a job again. Where one starts while what is left of
    # it still ends, that end is taken for the new one's.
    wait_until(lambda: not daemons_of(job), job)
    run("scontrol", "update", f"JobId={job}", "StartTime=now", cwd=project.path)
    wait_until(lambda: state(job) == "COMPLETED", job)
    assert "Restarts=1" in run("scontrol", "show", "job", job, cwd=project.path).stdout
    assert summary(project) == undisturbed


@contextlib.contextmanager
def node_down(name: str) -> Iterator[None]:
    """Kill all that a node runs, as if its power had failed; afterwards it is there again."""
    daemon = int(Path(f"/run/slurmd-{name}.pid").read_text())
    for pid in [daemon, *pids_of_tasks(name)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    update = ["scontrol", "update", f"NodeName={name}"]
    subprocess.run([*update, "State=DOWN", "Reason=test"], check=True)
    try:
        yield
    finally:
        subprocess.run(["slurmd", "-N", name], check=True, preexec_fn=take_all_cores)
        deadline = time.monotonic() + JOB_SECONDS
        while states_of_nodes() != {"IDLE"}:
            assert time.monotonic() < deadline, states_of_nodes()
            # An error where the node has come back by itself.
            subprocess.run([*update, "State=RESUME"], check=False, capture_output=True)
            time.sleep(0.2)


def states_of_nodes() -> set[str]:
    shown = run("scontrol", "show", "nodes", cwd=Path.cwd()).stdout
    return set(re.findall(r"State=(\S+)", shown))


def pids_of_tasks(node: str) -> set[int]:
    """The processes that a node's job steps have started, and those that started them."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SLURMD_NODENAME={node}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                found |= {int(folder.name), int(parent)}
    return found - {1}


def daemons_of(job: str) -> list[str]:
    """Slurm's processes that watch over a job's steps, by their titles."""
    titles = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            titles.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [title for title in titles if f"slurmstepd: [{job}." in title]


def train(project: Bake) -> dict[str, Any]:
    """Train on the cluster from the start, and clear away what it leaves."""
    job = submit(project)
    wait_until(lambda: state(job) == "COMPLETED", job)
    result = summary(project)
    for name in ("checkpoints", "metrics"):
        shutil.rmtree(project.path / name)
    return result


def submit(project: Bake) -> str:
    return run("sbatch", "--parsable", JOB, cwd=project.path).stdout.strip()


def state(job: str) -> str:
    shown = run("scontrol", "show", "job", job, cwd=Path.cwd()).stdout
    (found,) = re.findall(r"JobState=(\w+)", shown)
    return str(found)


def epoch(project: Bake) -> int:
    """The last epoch that was saved, 0 before the first."""
    # DVCLive writes the file anew: it may not be there, or not be whole.
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        return int(json.loads(project.read("metrics/live/metrics.json"))["step"])
    return 0


def summary(project: Bake) -> dict[str, Any]:
    """What a training run comes to; its speed aside."""
    found = json.loads(project.read("metrics/train.json"))
    assert found["num_processes"] == 2
    return {key: found[key] for key in ("epochs", "best_epoch", "best_validation_accuracy")}


def wait_until(condition: Any, job: str) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    while not condition():
        assert state(job) not in {"FAILED", "CANCELLED", "TIMEOUT"}, state(job)
        assert time.monotonic() < deadline, state(job)
        time.sleep(0.1)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two hosts with a network of their own each, joined by a cable: their names and addresses.

    The names are this process's own, so that what a run that was cut off has left is in no way.
    """
    if os.getuid() != 0 or not shutil.which("ip"):
        missing("network namespaces want root and ip (Debian: iproute2)")
    one, other = (f"dl-{os.getpid()}-{letter}" for letter in "ab")
    addresses = {one: "10.77.0.1", other: "10.77.0.2"}
    for host in addresses:
        subprocess.run(["ip", "netns", "add", host], check=True)
    try:
        cable = f"ip link add cable netns {one} type veth peer name cable netns {other}"
        subprocess.run(cable.split(), check=True)
        for host, address in addresses.items():
            for command in (
                f"address add {address}/24 dev cable",
                "link set cable up",
                "link set lo up",
            ):
                subprocess.run(["ip", "-n", host, *command.split()], check=True)
        yield addresses
    finally:
        for host in addresses:
            kill_processes(host)
            subprocess.run(["ip", "netns", "delete", host], check=True)


def kill_processes(host: str) -> None:
    """Kill all that runs on a host, as when its power fails."""
    for pid in pids_of(host):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pids_of(host: str) -> list[int]:
    """All processes on a host."""
    command = ["ip", "netns", "pids", host]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.slow
@pytest.mark.xdist_group("launch")
def test_two_hosts_train_one_model_by_what_skypilot_would_run(
    hosts: dict[str, str], project: Bake
) -> None:
    train_for(project, 3)
    script = yaml.safe_load(project.read("deploy/launch/skypilot.yaml"))["run"]
    # The variables that SkyPilot sets: https://docs.skypilot.co/en/latest/running-jobs/environment-variables.html
    told = {
        "SKYPILOT_TASK_ID": "sky-managed-2026-01-01-00-00-00-000000_my-project_1-0",
        "SKYPILOT_NODE_IPS": "\n".join(hosts.values()),
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NUM_GPUS_PER_NODE": "1",
    }
    processes = [
        start(project, host, ["bash", "-c", script], told | {"SKYPILOT_NODE_RANK": str(rank)})
        for rank, host in enumerate(hosts)
    ]
    assert [process.wait(timeout=JOB_SECONDS) for process in processes] == [0, 0]
    assert summary(project)["epochs"] == 3


@pytest.mark.slow
@pytest.mark.xdist_group("launch")
def test_a_host_that_goes_away_leaves_the_other_to_finish(
    hosts: dict[str, str], project: Bake
) -> None:
    here, away = hosts
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={hosts[here]}:29400", "--rdzv-id=1"]
    elastic = [".venv/bin/torchrun", "--nnodes=1:2", "--max-restarts=3", *meeting]
    first, second = (
        start(
            project,
            host,
            [
                *elastic,
                f"--local-addr={address}",
                # A host in a namespace has the name of the machine, and cannot tell by it
                # that the place to meet is its own.
                f"--rdzv-conf=is_host={host == here},last_call_timeout=5,"
                # Ten seconds without a word are needed for a host to be taken for dead, since a
                # machine that is busy may keep one waiting for some.
                "keep_alive_interval=1,keep_alive_max_attempt=10",
                "-m",
                f"{project.package}.stages.train",
            ],
            {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        )
        for host, address in hosts.items()
    )
    deadline = time.monotonic() + JOB_SECONDS
    while epoch(project) < 5 or not trains(away):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert second.poll() is None
    kill_processes(away)
    assert second.wait(timeout=JOB_SECONDS) == -signal.SIGKILL
    assert first.wait(timeout=JOB_SECONDS) == 0
    found = json.loads(project.read("metrics/train.json"))
    assert (found["num_processes"], found["epochs"]) == (1, 30)
    assert found["best_validation_accuracy"] > 0.97


def trains(host: str) -> bool:
    """Whether a process of training, and not only torchrun, is on a host."""
    for pid in pids_of(host):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"stages.train" in command and b"torchrun" not in command:
                return True
    return False


def start(
    project: Bake, host: str, command: list[str], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command in the project's folder on one of the hosts."""
    own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "cable"}
    return subprocess.Popen(
        ["ip", "netns", "exec", host, *command],
        cwd=project.path,
        env=clean_environment() | own | environment,
    )


def test_the_training_job_is_valid_for_kubeflow_trainer(bake_of: BakeOf) -> None:
    text = bake_of("default").read("deploy/launch/kubeflow.yaml")
    given = yaml.safe_load(text)
    job = TrainerV1alpha1TrainJob.from_dict(given)
    assert job is not None
    assert job.to_dict() == given  # no field that the API does not have
    assert "my_project.stages.train" in text
