"""A project whose `release` workflow runs on a push, by act, and deploys to this machine."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from .bakes import Bake
from .ci.act import Repository, commit, with_origin
from .deployment import Target, docker

SECRETS = ("REGISTRY_PASSWORD", "DEPLOY_SSH_KEY", "DVC_SSH_KEY", "DVC_SSH_KNOWN_HOSTS")
NO_COMMIT = "0" * 40  # what GitHub's event says was there before a first push

Labelled = Sequence[tuple[bytes, str]]  # PNG files and their true classes


@dataclass(frozen=True)
class Released:
    """A project with an origin, and where its workflow deploys it.

    image: the one that was released first, by digest.
    """

    repository: Repository
    target: Target
    image: str = ""

    @property
    def project(self) -> Bake:
        """The project itself."""
        return self.repository.project

    def options(self) -> list[str]:
        """The variables and secrets of the project's repository on GitHub, as options for act."""
        env = self.target.env | {"DEPLOY": "yes"}
        kinds = {name: "secret" if name in SECRETS else "var" for name in env}
        return [f"--{kinds[name]}={name}={value}" for name, value in env.items()]

    def release(self, before: str) -> None:
        """Push main, and run release.yml as GitHub would.

        before: the commit that main had in origin until then.
        """
        self.project.run("git", "push", "--quiet", "origin", "main")
        event = self.repository.log.parent / "push.json"
        event.write_text(json.dumps({"before": before}), encoding="utf-8")
        workflow = ("--workflows", ".github/workflows/release.yml", "--matrix", "python:3.11")
        done = self.repository.act(
            "push", *workflow, "--eventpath", str(event), "--no-cache-server", *self.options()
        )
        assert done.returncode == 0, done.stdout[-5000:]
        # What is released is the artifact of the one job that runs the pipeline.
        assert len(re.findall(r"Success - Main make repro\b", done.stdout)) == 1
        assert done.stdout.count("Running stage 'train'") <= 1

    def commit(self, name: str) -> str:
        """The commit that a name such as `HEAD~1` stands for."""
        return self.project.run("git", "rev-parse", name).stdout.strip()

    def model(self) -> dict[str, str]:
        """The model that answers at the public address."""
        with self.target.client() as client:
            answer: dict[str, str] = client.get("/v1/model").raise_for_status().json()
        return answer

    def predictions(self, images: Labelled, options: str = "") -> list[dict[str, Any]]:
        """The service's answers, in the order of the images."""
        with self.target.client() as client, ThreadPoolExecutor(4) as pool:

            def post(image: bytes) -> dict[str, Any]:
                response = client.post(f"/v1/predict{options}", content=image)
                answer: dict[str, Any] = response.raise_for_status().json()
                return answer

            return list(pool.map(post, (image for image, _ in images)))

    def right(self, images: Labelled) -> list[bool]:
        """Whether the service's label is the true one, for each image."""
        answers = self.predictions(images)
        return [
            answer["label"] == label for answer, (_, label) in zip(answers, images, strict=True)
        ]

    def use_postgresql(self) -> str:
        """Keep predictions in compose.yaml's PostgreSQL from now on; gives its URL on this host."""
        url = "postgresql+psycopg://postgres:secret@postgres/postgres"
        with (self.target.folder / ".env").open("a", encoding="utf-8") as file:
            file.write(f"POSTGRES_PASSWORD=secret\nDATABASE_URL={url}\n")
        self.target.compose("up", "--detach", "postgres")
        self.project.run("make", "deploy", env=self.target.env | {"IMAGE": self.image})
        address = "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        container = self.target.compose("ps", "--quiet", "postgres")
        return url.replace("@postgres", f"@{docker('inspect', address, container)}")

    def sql(self, statements: str) -> str:
        """What PostgreSQL answers to statements of its owner."""
        container = self.target.compose("ps", "--quiet", "postgres")
        psql = ("psql", "--username=postgres", "--host=localhost", "--tuples-only", "--command")
        return docker("exec", "--env=PGPASSWORD=secret", container, *psql, statements)


def first_release(
    target: Target,
    make: Callable[[dict[str, str]], Bake],
    prepare: Callable[[Bake], None],
    env: Mapping[str, str] | None = None,
) -> Released:
    """Make a project, run its pipeline, release it, and let a client have an API key.

    make: generates the project from these answers, beside which there is room for its origin.
    prepare: changes the project before it is trained. env: variables for that training.
    """
    host, port = target.env["DEPLOY_HOST"], target.env["DEPLOY_PORT"]
    data = target.folder.parent / "data"
    project = make({"dvc_remote": "ssh", "dvc_remote_url": f"ssh://{host}:{port}{data}"})
    prepare(project)
    commit(project, "Set the parameters")
    project.run("make", "repro", env=env)
    commit(project, "Train the first model")
    released = Released(with_origin(project, project.path.parent), target)
    key = ("keyfile", target.folder.parent / "client")
    project.run("uv", "run", "dvc", "remote", "modify", "--local", "storage", *key)
    project.run("uv", "run", "dvc", "push")
    released.release(before=NO_COMMIT)
    keys = ("python", "-m", f"{project.package}.serving.keys", "create", "ana", "--rate", "100000")
    target.headers["Authorization"] = f"Bearer {docker('exec', target.slot(), *keys)}"
    image = docker("inspect", "--format={{.Config.Image}}", target.slot())
    return replace(released, image=image)
