"""DVC's remotes for real: a local sshd, and a local server that speaks S3's protocol."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from ..conftest import Bake, missing, run
from .act import Repository, change, commit, free_port

pytestmark = pytest.mark.slow

BUCKET = "pictures"
SSHD = "/usr/sbin/sshd"
START_SECONDS = 60


@dataclass(frozen=True)
class Remote:
    """A remote's address, and the variables that let one in."""

    kind: str
    url: str
    variables: dict[str, str]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A bucket that one user may use; requests of anybody else are refused."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    server: list[str | Path] = [Path(sys.executable).parent / "moto_server", "--port", str(port)]
    with running(server, port, tmp_path_factory.mktemp("s3")):
        login = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        session = boto3.Session(region_name="us-east-1", **login)
        session.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
        iam = session.client("iam", endpoint_url=endpoint)
        iam.create_user(UserName="ci")
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_user_policy(UserName="ci", PolicyName="data", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="ci")["AccessKey"]
        # From here on, the server checks who asks.
        check = urllib.request.Request(
            f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(check).close()
        variables = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        yield Remote("s3", f"s3://{BUCKET}/dvc", variables)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A folder behind an sshd that takes one key."""
    if not Path(SSHD).exists():
        missing(f"{SSHD} is not there (Debian: openssh-server)")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user", "stranger"):
        generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
        run(*generate, folder / name, cwd=folder)
    port = free_port()
    settings = {
        "AuthorizedKeysFile": folder / "user.pub",
        "HostKey": folder / "host",
        "ListenAddress": "127.0.0.1",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        "Port": port,
        "StrictModes": "no",
        "Subsystem": "sftp internal-sftp",
        "UsePAM": "no",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), "utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it where no init system made it
    with running([SSHD, "-D", "-e", "-f", config], port, folder):
        user = run("id", "-un", cwd=folder).stdout.strip()
        variables = {"DVC_SSH_KEY": (folder / "user").read_text(encoding="utf-8")}
        stranger = (folder / "stranger").read_text(encoding="utf-8")
        yield Remote(
            "ssh",
            f"ssh://{user}@127.0.0.1:{port}{folder}/data",
            variables | {"STRANGER": stranger},
        )


@pytest.fixture(params=["s3", "ssh"])
def remote(request: pytest.FixtureRequest) -> Remote:
    """Each kind of remote."""
    found: Remote = request.getfixturevalue(request.param)
    return found


def test_what_one_clone_stores_another_restores_and_runs_no_stage(
    remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    project = use(repository.project, remote.kind, remote.url)
    project.run("git", "push", "--quiet", "origin", "main")
    project.run("make", "store", env=remote.variables)

    run("git", "clone", "--quiet", repository.origin, "other", cwd=tmp_path)
    other = Bake(tmp_path / "other", output="")
    other.run("make", "restore", env=remote.variables)
    assert "Running stage" not in other.run("make", "repro").stdout
    assert (other.path / "model/model.onnx").exists()
    assert other.run("git", "status", "--porcelain").stdout == ""


def test_wrong_credentials_fail_and_say_which_secrets_to_set(
    remote: Remote, repository: Repository
) -> None:
    project = use(repository.project, remote.kind, remote.url)
    wrong = {
        "s3": {"AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ACCESS_KEY_ID": "wrong"},
        "ssh": {"DVC_SSH_KEY": remote.variables.get("STRANGER", "")},
    }[remote.kind]
    refuses(project, remote.variables | wrong, list(wrong))


def test_a_remote_that_cannot_be_reached_fails_and_loses_nothing(
    remote: Remote, repository: Repository
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    url = f"ssh://me@{nowhere}/data" if remote.kind == "ssh" else remote.url
    project = use(repository.project, remote.kind, url)
    variables = remote.variables | {"AWS_ENDPOINT_URL": f"http://{nowhere}"}
    refuses(project, variables, ["dvc remote modify storage url"])
    assert "Running stage" not in project.run("make", "repro").stdout


def test_without_credentials_ci_says_so_and_goes_on(remote: Remote, repository: Repository) -> None:
    project = use(repository.project, remote.kind, remote.url)
    needed = {"s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "ssh": "DVC_SSH_KEY"}
    unset = dict.fromkeys(remote.variables, "")
    for target in ("restore", "store"):
        output = project.run("make", target, env=unset | {"GITHUB_ACTIONS": "true"}).stdout
        assert f"::notice::DVC's remote is not used: {remote.url} needs" in output
        assert needed[remote.kind] in output


def test_a_wrong_secret_fails_the_workflow_with_the_message(
    s3: Remote, repository: Repository
) -> None:
    use(repository.project, s3.kind, s3.url)
    secrets = [f"AWS_{name}=wrong" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    variables = [f"AWS_ENDPOINT_URL={s3.variables['AWS_ENDPOINT_URL']}"]
    options = [
        *(part for secret in secrets for part in ("--secret", secret)),
        *(part for variable in variables for part in ("--var", variable)),
    ]
    done = repository.train("push", *options)
    assert done.returncode != 0
    assert "Failure - Main Get what DVC's remote has" in done.stdout
    assert "the secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are right" in done.stdout


def use(project: Bake, kind: str, url: str) -> Bake:
    """Move a project to another remote, as docs/make-it-yours.md says, and commit that."""
    change(project, "pyproject.toml", {'"dvc>=': f'"dvc[{kind}]>='})
    change(project, ".dvc/config", {"../../my-project-dvc-storage": url})
    project.run("uv", "lock", "--quiet")
    commit(project, "Move to another remote")
    return project


def refuses(project: Bake, variables: dict[str, str], words: list[str]) -> None:
    """Both directions have to fail with these words, and leave the cache as it is."""
    cache = project.path / ".dvc/cache"
    before = sorted(cache.rglob("*"))
    for target in ("restore", "store"):
        done = project.run("make", target, env=variables, check=False)
        assert done.returncode != 0
        assert all(word in done.stdout for word in words), done.stdout + done.stderr
    assert sorted(cache.rglob("*")) == before


@contextmanager
def running(command: list[str | Path], port: int, folder: Path) -> Iterator[None]:
    """A server that listens on a port of loopback for as long as it is needed."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
