"""A trained project with a bare `origin`, and its workflows under the real act on this machine."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..bakes import TEMPLATE, Bake, clean_environment, run
from ..product.github import GitHub
from ..servers import free_port

# Keeps what make prints: act may drop the end of what a step that fails has printed.
MAKE = """#!/usr/bin/env bash
set -o pipefail
"{make}" "$@" 2>&1 | tee --append "{log}"
"""
ACTIONS = TEMPLATE / "tests/actions"  # stand-ins for the actions that only GitHub's runners have
# All but `versions`, which runs only where uv.lock is another.
STAGES = ["fetch", "prepare", "train", "compress", "evaluate", "export", "report"]
IDENTITY = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
# A network that trains in seconds, and a champion that leaves room to be better or worse.
FAST = {
    "width: 32": "width: 8",
    "epochs: 30": "epochs: 3",
    "batch_size: 128": "batch_size: 32",
    "learning_rate: 0.005": "learning_rate: 0.01",
    "bootstrap_samples: 1000": "bootstrap_samples: 100",
    "min_accuracy: 0.97": "min_accuracy: 0.3",
}


@dataclass(frozen=True)
class Repository:
    """A clone of a project, with what its workflows leave behind.

    store: what the stand-in for actions/cache keeps. artifacts: what the one for
    actions/upload-artifact does. log: all that the make targets of the workflows have printed.
    """

    project: Bake
    origin: Path
    store: Path
    artifacts: Path
    log: Path

    def command(self, *arguments: str) -> list[str]:
        """Complete act's command line with what stands in for GitHub's own services."""
        return [
            str(Path(sys.executable).parent / "act"),
            *arguments,
            *("--concurrent-jobs", "1"),
            *("--artifact-server-port", str(free_port())),  # act's own may be another run's
            *("--action-cache-path", str(self.store.parent / "act")),
            *("--env", f"STAND_IN_STORE={self.store}"),
            *("--env", f"STAND_IN_ARTIFACTS={self.artifacts}"),
            *stand_ins(self.project),
        ]

    def act(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run act as `make ci` does; both of its outputs are in `stdout`, without colours."""
        path = clean_environment()["PATH"]
        make = self.log.parent / "bin/make"
        make.parent.mkdir(exist_ok=True)
        make.write_text(MAKE.format(make=shutil.which("make", path=path), log=self.log), "utf-8")
        make.chmod(0o755)
        env = {"PATH": f"{make.parent}{os.pathsep}{path}", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
        done = self.project.run(*self.command(*arguments), env=env, check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout + done.stderr)

    def train(self, event: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run train.yml for an event."""
        return self.act(event, "--workflows", ".github/workflows/train.yml", *arguments)

    def pull_request(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run train.yml as a pull request starts it."""
        event = ("--eventpath", ".github/act/pull_request.json")
        return self.train("pull_request", *event, *arguments)

    def on_github(self, github: GitHub) -> list[str]:
        """Options for act under which gh finds the stand-in, which knows this as ana/project."""
        config = github.socket.parent
        (config / "config.yml").write_text(f"http_unix_socket: {github.socket}\n", encoding="utf-8")
        programs = self.log.parent / "bin"
        programs.mkdir(exist_ok=True)
        shutil.copy2(Path(sys.executable).with_name("gh"), programs / "gh")
        set_url = ("git", "remote", "set-url")
        self.project.run(*set_url, "origin", "https://github.com/ana/project")  # where act looks
        self.project.run(*set_url, "--push", "origin", self.origin)
        return ["--env", f"GH_CONFIG_DIR={config}", "--secret", "GITHUB_TOKEN=secret"]

    def printed(self) -> str:
        """What the make targets of the workflows have printed, the end of failed ones included."""
        return self.log.read_text(encoding="utf-8")

    def report(self) -> str:
        """The report that the workflow kept."""
        return (self.artifacts / "report/report.md").read_text(encoding="utf-8")


def stand_ins(project: Bake) -> list[str]:
    """Options that give act a folder for each action that it would get from GitHub."""
    uses = re.compile(r"uses: ([\w-]+/([\w-]+))(?:/[\w-]+)?@(\w+)")
    workflows = (project.path / ".github/workflows").glob("*.yml")
    found = {use for path in workflows for use in uses.findall(path.read_text("utf-8"))}
    return [
        option
        for repository, name, commit in found
        if (ACTIONS / name).exists()
        for option in ("--local-repository", f"{repository}@{commit}={ACTIONS / name}")
    ]


def change(project: Bake, file: str, replacements: dict[str, str]) -> None:
    """Replace text in a file; each text has to be there."""
    text = project.read(file)
    for old, new in replacements.items():
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new)
    (project.path / file).write_text(text, encoding="utf-8")


def commit(project: Bake, message: str) -> None:
    """Commit all that git does not ignore."""
    project.run("git", "add", "--all")
    project.run("git", *IDENTITY, "commit", "--quiet", "--message", message)


def trained(project: Bake) -> Bake:
    """Train a new project quickly, and commit the results."""
    change(project, "params.yaml", FAST)
    project.run("make", "repro")
    commit(project, "Train the first model")
    return project


def clone(trained: Bake, folder: Path) -> Repository:
    """A copy of a trained project with a bare origin of its own, which has the same main."""
    path = folder / trained.path.name
    built = shutil.ignore_patterns(".venv", ".mypy_cache", ".ruff_cache", "build")
    shutil.copytree(trained.path, path, ignore=built)
    repository = with_origin(Bake(path, trained.output, trained.environment), folder)
    shutil.copytree(path / ".dvc/cache", repository.store / "dvc-champion")
    return repository


def with_origin(project: Bake, folder: Path) -> Repository:
    """Give a project a bare origin that has all its commits, and act's leavings a folder each."""
    origin = folder / "origin.git"
    run("git", "clone", "--quiet", "--bare", project.path, origin, cwd=folder)
    project.run("git", "remote", "add", "origin", origin)
    project.run("git", "fetch", "--quiet", "origin")
    return Repository(project, origin, folder / "store", folder / "artifacts", folder / "make.log")


def ran(output: str) -> list[str]:
    """The stages that a workflow's `dvc repro` ran."""
    return re.findall(r"Running stage '(\w+)'", output)
