"""DVC's remotes for real: a local sshd, and a local server that speaks S3's protocol."""

import json
import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boto3
import pytest

from ..bakes import Bake, bake, missing, run
from ..pictures import write_image_folder
from ..servers import free_port, running
from .act import STAGES, Repository, change, clone, commit, ran, with_origin

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("remotes")]

BUCKET = "images"
SSHD = "/usr/sbin/sshd"


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
    with running(*server, port=port):
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
    with running(SSHD, "-D", "-e", "-f", config, port=port):
        user = run("id", "-un", cwd=folder).stdout.strip()
        host_key = (folder / "host.pub").read_text(encoding="utf-8")
        variables = {
            "DVC_SSH_KEY": (folder / "user").read_text(encoding="utf-8"),
            "DVC_SSH_KNOWN_HOSTS": f"[127.0.0.1]:{port} {host_key}",
        }
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


@pytest.fixture(scope="module")
def moved(champion: Bake, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Remote], Bake]:
    """The champion on a remote, as docs/make-it-yours.md says; tests work on clones of it."""

    @cache
    def move(kind: str, url: str) -> Bake:
        project = clone(champion, tmp_path_factory.mktemp(kind)).project
        project.run("git", "remote", "remove", "origin")
        use(project, kind, url)
        project.run("make", "repro")  # since uv.lock is another
        commit(project, "Note the versions")
        return project

    return lambda remote: move(remote.kind, remote.url)


@pytest.fixture
def repository(remote: Remote, moved: Callable[[Remote], Bake], tmp_path: Path) -> Repository:
    """A clone that has moved to the remote, with an origin of its own."""
    return clone(moved(remote), tmp_path)


def test_what_one_clone_pushes_another_pulls_and_runs_no_stage(
    remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    repository.project.run("make", "dvc-push", env=remote.variables)

    run("git", "clone", "--quiet", repository.origin, "other", cwd=tmp_path)
    other = Bake(tmp_path / "other", "", repository.project.environment)
    other.run("make", "dvc-pull", env=remote.variables)
    assert "Running stage" not in other.run("make", "repro").stdout
    assert (other.path / "model/model.onnx").exists()
    assert other.run("git", "status", "--porcelain").stdout == ""


def test_wrong_credentials_fail_and_say_which_secrets_to_set(
    remote: Remote, repository: Repository
) -> None:
    wrong = {
        "s3": {"AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ACCESS_KEY_ID": "wrong"},
        "ssh": {"DVC_SSH_KEY": remote.variables.get("STRANGER", "")},
    }[remote.kind]
    refuses(repository.project, remote.variables | wrong, list(wrong))


def test_a_host_with_another_key_is_not_trusted(
    ssh: Remote, moved: Callable[[Remote], Bake], tmp_path: Path
) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other", cwd=tmp_path)
    other = (tmp_path / "other.pub").read_text(encoding="utf-8")
    address = ssh.variables["DVC_SSH_KNOWN_HOSTS"].partition(" ")[0]
    refuses(
        clone(moved(ssh), tmp_path).project,
        ssh.variables | {"DVC_SSH_KNOWN_HOSTS": f"{address} {other}"},
        ["Host key is not trusted", "DVC_SSH_KNOWN_HOSTS"],
    )


def test_a_model_that_was_changed_in_the_remote_is_not_taken(
    champion: Bake, tmp_path: Path
) -> None:
    project = clone(champion, tmp_path).project
    (storage := tmp_path / "storage").mkdir()
    change(project, ".dvc/config", {"../../my-project-dvc-storage": str(storage)})
    project.run("make", "dvc-push")
    model = (project.path / "model/model.onnx").read_bytes()
    files = (path for path in storage.rglob("*") if path.is_file())
    (stored,) = (path for path in files if path.read_bytes() == model)
    stored.chmod(0o644)
    stored.write_bytes(b"another model")
    shutil.rmtree(project.path / ".dvc/cache")
    shutil.rmtree(project.path / "model")
    done = project.run("make", "dvc-pull", check=False)
    assert not (project.path / "model").exists(), done.stdout + done.stderr


def test_a_remote_that_cannot_be_reached_fails_and_loses_nothing(
    remote: Remote, repository: Repository
) -> None:
    project, nowhere = repository.project, f"127.0.0.1:{free_port()}"
    if remote.kind == "ssh":
        change(project, ".dvc/config", {remote.url: f"ssh://me@{nowhere}/data"})
    variables = remote.variables | {"AWS_ENDPOINT_URL": f"http://{nowhere}"}
    refuses(project, variables, ["dvc remote modify storage url"])
    assert "Running stage" not in project.run("make", "repro").stdout


def test_without_credentials_ci_says_so_and_goes_on(remote: Remote, repository: Repository) -> None:
    needed = {
        "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "ssh": "DVC_SSH_KEY and DVC_SSH_KNOWN_HOSTS",
    }
    unset = dict.fromkeys(remote.variables, "")
    for target in ("dvc-pull", "dvc-push"):
        env = unset | {"GITHUB_ACTIONS": "true"}
        output = repository.project.run("make", target, env=env).stdout
        assert f"::notice::DVC's remote is not used: {remote.url} needs" in output
        assert needed[remote.kind] in output


def test_a_wrong_secret_fails_the_workflow_with_the_message(
    s3: Remote, moved: Callable[[Remote], Bake], tmp_path: Path
) -> None:
    repository = clone(moved(s3), tmp_path)
    wrong = {"AWS_ACCESS_KEY_ID": "wrong", "AWS_SECRET_ACCESS_KEY": "wrong"}
    done = repository.train("schedule", *settings(s3.variables | wrong))
    assert done.returncode != 0
    assert "Failure - Main Get what DVC's remote has" in done.stdout
    message = "the secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are right"
    assert message in repository.printed()


def test_new_images_come_from_the_remote_and_make_every_stage_run(
    s3: Remote, environment: Path, tmp_path: Path
) -> None:
    own = bake(tmp_path, {"dataset": "image-folder"}, environment=environment)
    project = use(own, s3.kind, s3.url)
    quick = {"image_size: 64": "image_size: 16", "epochs: 40": "epochs: 2"}
    quick |= {"width: 32": "width: 8", "bootstrap_samples: 1000": "bootstrap_samples: 100"}
    # So short a training depends on chance; what is asked for here is which stages run.
    open_gate = {"min_accuracy: 0.6": "min_accuracy: 0.1", "drop: 0.005": "drop: 1.0"}
    change(project, "params.yaml", quick | open_gate)
    add_images(project, slice(0, 60))
    project.run("make", "repro")
    commit(project, "Train the first model")
    repository = with_origin(project, tmp_path)
    project.run("make", "dvc-push", env=s3.variables)

    project.run("git", "switch", "--quiet", "--create", "more-images")
    add_images(project, slice(60, 80))
    project.run("make", "dvc-push", env=s3.variables)
    commit(project, "Add images")
    done = repository.pull_request(*settings(s3.variables))
    assert done.returncode == 0, done.stdout
    assert ran(done.stdout) == STAGES
    rows = [row for row in repository.report().splitlines() if row.startswith("| `data/images`")]
    assert len(rows) == 1
    assert re.search(r"180 files.*240 files.*changed", rows[0]), rows


def add_images(project: Bake, numbers: slice) -> None:
    """Put more images of each class into the folder that DVC keeps."""
    write_image_folder(project.path / "data/images", numbers)
    project.run("uv", "run", "dvc", "add", "--quiet", "data/images")


def settings(variables: dict[str, str]) -> list[str]:
    """Options that give act a remote's keys as secrets, and what else it needs as variables."""
    return [
        part
        for name, value in variables.items()
        for part in ("--secret" if "KEY" in name else "--var", f"{name}={value}")
    ]


def use(project: Bake, kind: str, url: str) -> Bake:
    """Move a project to another remote, as docs/make-it-yours.md says, and commit that."""
    change(project, "pyproject.toml", {'"dvc>=': f'"dvc[{kind}]>='})
    change(project, ".dvc/config", {"../../my-project-dvc-storage": url})
    project.run("make", "setup")  # writes uv.lock with the package for this kind of remote
    commit(project, "Move to another remote")
    return project


def refuses(project: Bake, variables: dict[str, str], words: list[str]) -> None:
    """Both directions have to fail with these words, and leave the cache as it is."""
    cache = project.path / ".dvc/cache"
    before = sorted(cache.rglob("*"))
    for target in ("dvc-pull", "dvc-push"):
        done = project.run("make", target, env=variables, check=False)
        assert done.returncode != 0
        assert all(word in done.stdout + done.stderr for word in words), done.stdout
    assert sorted(cache.rglob("*")) == before
