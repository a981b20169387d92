"""A real Docker engine, registry and SSH server on loopback, for the tests of the deployment."""

import contextlib
import functools
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml
from filelock import FileLock

from .bakes import TEMPLATE, missing, run
from .servers import START_SECONDS, free_port, running
from .workers import take_all_cores

HERE = Path(__file__).parent
VENV = Path(sys.executable).parent
LOCAL_DOCKER = TEMPLATE.parent / "shared/tools/local-docker"
# Images that compose.yaml names, made of Debian's packages where there is no Docker Hub.
STAND_INS = {
    "caddy:2.10": "caddy",
    "postgres:17": "postgres",
    "prom/prometheus:v3.5.0": "prometheus",
}


@functools.cache
def start_docker() -> None:
    """See that there is a Docker engine with the base image, or skip."""
    if LOCAL_DOCKER.exists() and os.getuid() == 0:
        with FileLock(Path(tempfile.gettempdir(), "local-docker.lock")):
            start = [str(LOCAL_DOCKER), "--plain"]
            subprocess.run(start, check=True, capture_output=True, preexec_fn=take_all_cores)
    if not shutil.which("docker") or not succeeds("docker", "info"):
        missing("there is no Docker engine")


def provide(image: str) -> None:
    """See that the engine has an image that compose.yaml names."""
    if not docker("images", "--quiet", image) and not succeeds("docker", "pull", image):
        docker("build", "--tag", image, str(HERE / "images" / STAND_INS[image]))


def succeeds(*command: str) -> bool:
    """Whether a command ends with 0."""
    return subprocess.run(command, capture_output=True).returncode == 0


def docker(*arguments: str) -> str:
    """A command of docker, which has to work."""
    return run("docker", *arguments, cwd=HERE).stdout.strip()


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[dict[str, str]]:
    """A registry that wants a password; gives the project's settings for it."""
    for program in ("docker-registry", "htpasswd"):
        if not shutil.which(program):
            missing(f"{program} is not installed (Debian: docker-registry, apache2-utils)")
    port = free_port()
    passwords = folder / "passwords"
    passwords.write_text(run("htpasswd", "-Bbn", "ana", "secret", cwd=folder).stdout)
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "registry", "path": str(passwords)}},
    }
    file = folder / "registry.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with running("docker-registry", "serve", file, port=port):
        yield {
            "REGISTRY": f"127.0.0.1:{port}/ana",
            "REGISTRY_USER": "ana",
            "REGISTRY_PASSWORD": "secret",
        }


@contextlib.contextmanager
def ssh_host(folder: Path) -> Iterator[dict[str, str]]:
    """The machine itself as a host reached over SSH; gives the project's settings for it."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        missing("sshd is not installed (Debian: openssh-server)")
    port = free_port()
    for name in ("host", "client"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name, cwd=folder)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'client.pub'}\nStrictModes no\nPidFile none\n"
        f"PasswordAuthentication no\nSetEnv PATH={os.environ['PATH']}\n"
        "Subsystem sftp internal-sftp\n"
    )
    public = (folder / "host.pub").read_text()
    with running(sshd, "-D", "-f", config, port=port):
        yield {
            "DEPLOY_HOST": f"{getpass.getuser()}@127.0.0.1",
            "DEPLOY_PORT": str(port),
            "DEPLOY_SSH_KEY": (folder / "client").read_text(),
            "DEPLOY_KNOWN_HOSTS": f"[127.0.0.1]:{port} {public}",
        }


@dataclass(frozen=True)
class Target:
    """Where a project is deployed: its settings there, the folder, and the URL that answers.

    headers: those of a client with an API key, once there is one.
    """

    env: dict[str, str]
    folder: Path
    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def client(self) -> httpx.Client:
        """A client of the service behind its proxy."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=START_SECONDS)

    def compose(self, *arguments: str) -> str:
        """A command of Docker Compose on the host."""
        return run(
            "docker", "compose", "--profile=more", *arguments, cwd=self.folder
        ).stdout.strip()

    def slot(self) -> str:
        """The container that answers."""
        return self.compose(
            "ps", "--quiet", max(f.name for f in (self.folder / "active").iterdir())
        )

    @contextlib.contextmanager
    def asked_all_the_time(self, image: bytes) -> Iterator[Counter[str]]:
        """Clients that send an image again and again; counts models, and whatever failed."""
        answers: Counter[str] = Counter()
        done = threading.Event()

        def ask() -> None:
            with self.client() as client:
                while not done.wait(0.01):
                    answers[model_of(client, image)] += 1

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            done.set()
            for thread in threads:
                thread.join()


def model_of(client: httpx.Client, image: bytes) -> str:
    """The digest of the model that answers, or what went wrong."""
    try:
        response = client.post("/v1/predict", content=image)
    except httpx.TransportError as error:
        return repr(error)
    if response.status_code != httpx.codes.OK:
        return f"{response.status_code}: {response.text}"
    return str(response.json()["model"]["sha256"])


@contextlib.contextmanager
def target(folder: Path) -> Iterator[Target]:
    """A registry and a host for a project that is deployed by compose; all goes afterwards."""
    start_docker()
    provide("caddy:2.10")
    site = folder / "site"
    site.mkdir()
    port, https_port = free_port(), free_port()
    (site / ".env").write_text(
        f"HTTP_PORT=127.0.0.1:{port}\nHTTPS_PORT=127.0.0.1:{https_port}\n"
        f"COMPOSE_PROJECT_NAME=site{port}\n"
    )
    (site / ".env").chmod(0o600)
    with registry(folder) as images, ssh_host(folder) as host:
        env = {
            **images,
            **host,
            "DVC_SSH_KEY": host["DEPLOY_SSH_KEY"],
            "DVC_SSH_KNOWN_HOSTS": host["DEPLOY_KNOWN_HOSTS"],
            "DEPLOY_PATH": str(site),
            "DEPLOY_TIMEOUT": str(START_SECONDS),
            "DOCKER_CONFIG": str(folder / "docker"),
        }
        place = Target(env, site, f"http://127.0.0.1:{port}")
        try:
            yield place
        finally:
            if (site / "compose.yaml").exists():
                place.compose("down", "--volumes")
