"""A later version of the template comes into a project that its owner has changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .bakes import TEMPLATE, clean_environment

IDENTITY = {"GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "ana@example.com"}
IDENTITY |= {key.replace("AUTHOR", "COMMITTER"): value for key, value in IDENTITY.items()}
SCRIPTS = Path(sys.executable).parent
OPTIONS = ("--no-input", "--output-dir", ".")
INSIDE = "{{cookiecutter.project_slug}}"


def run(*command: object, cwd: Path, returncode: int = 0) -> str:
    environment = clean_environment() | IDENTITY
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == returncode, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> str:
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", message, cwd=folder)
    return run("git", "rev-parse", "HEAD", cwd=folder).strip()


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def copy_template(target: Path) -> Path:
    """What cookiecutter needs of this template, in a folder that is no git repository."""
    ignore = shutil.ignore_patterns("__pycache__", ".*_cache", "uv.lock")
    for folder in ("hooks", INSIDE):
        shutil.copytree(TEMPLATE / folder, target / folder, ignore=ignore)
    shutil.copyfile(TEMPLATE / "cookiecutter.json", target / "cookiecutter.json")
    return target


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """The template with an earlier version, which is checked out, and the present one."""
    template = copy_template(tmp_path / "template")
    run("git", "init", "--quiet", "--initial-branch", "main", cwd=template)
    commit(template, "The present version")
    run("git", "branch", "present", cwd=template)
    project = template / INSIDE
    (project / "docs/tracking.md").unlink()
    replace(project / "params.digits.yaml", "label_smoothing: ", "label_smoothing: 0.0 # was: ")
    replace(project / "README.md", "It classifies a whole image.", "It classifies an image.")
    replace(project / "README.md", "## Limits", "## What it cannot do")
    commit(template, "As if it were an earlier version")
    return template


def test_an_update_keeps_the_owners_changes_and_shows_a_conflict(
    template: Path, tmp_path: Path
) -> None:
    run(SCRIPTS / "cookiecutter", template, *OPTIONS, cwd=tmp_path)
    project = tmp_path / "my-project"
    record = json.loads((project / ".cruft.json").read_text(encoding="utf-8"))
    assert record["commit"] == run("git", "rev-parse", "HEAD", cwd=template).strip()
    assert str(tmp_path) not in json.dumps(record["context"]).replace(str(template), "")

    own = {"src/my_project/own.py": '"""Mine."""\n', "docs/my-notes.md": "# Notes\n"}
    for name, text in own.items():
        (project / name).write_text(text, encoding="utf-8")
    replace(project / "params.yaml", "epochs: 30 #", "epochs: 12 #")
    replace(project / "README.md", "It classifies an image.", "It classifies my images.")
    (project / "docs/design.md").unlink()
    commit(project, "Make it mine")

    run("git", "checkout", "--quiet", "present", cwd=template)
    newest = run("git", "rev-parse", "HEAD", cwd=template).strip()
    run("git", "branch", "--force", "main", "present", cwd=template)
    run("git", "checkout", "--quiet", "main", cwd=template)
    run(SCRIPTS / "cruft", "update", "--skip-apply-ask", cwd=project)

    assert json.loads((project / ".cruft.json").read_text(encoding="utf-8"))["commit"] == newest
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "## Limits" in readme  # what only the template has changed
    assert (project / "docs/tracking.md").exists()
    params = (project / "params.yaml").read_text(encoding="utf-8")
    assert "epochs: 12 #" in params  # what only the owner has changed, in a file that both have
    assert "label_smoothing: 0.0 # was: " not in params
    for name, text in own.items():
        assert (project / name).read_text(encoding="utf-8") == text
    assert not (project / "docs/design.md").exists()
    conflict = readme[readme.index("<<<<<<<") : readme.index(">>>>>>>")]
    assert "It classifies my images." in conflict
    assert "It classifies a whole image." in conflict
    status = run("git", "status", "--porcelain", cwd=project).splitlines()
    assert [line for line in status if line.startswith("UU")] == ["UU README.md"]
    assert not list(project.rglob("*.rej"))


def test_there_is_nothing_to_do_at_the_newest_version(template: Path, tmp_path: Path) -> None:
    run(SCRIPTS / "cookiecutter", template, *OPTIONS, cwd=tmp_path)
    project = tmp_path / "my-project"
    assert "already up to date" in run(SCRIPTS / "cruft", "update", cwd=project)
    assert run("git", "status", "--porcelain", cwd=project) == ""
    run(SCRIPTS / "cruft", "check", cwd=project)


def test_a_template_without_git_leaves_no_record(tmp_path: Path) -> None:
    run(SCRIPTS / "cookiecutter", copy_template(tmp_path / "copy"), *OPTIONS, cwd=tmp_path)
    assert not (tmp_path / "my-project/.cruft.json").exists()
