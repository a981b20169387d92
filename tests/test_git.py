"""What generating does with git: its own repository, somebody else's, or none."""

import os
import sys
from pathlib import Path

import pytest

from .bakes import Bake, bake, run

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@example.com",
    "GIT_COMMITTER_NAME": "Ana",
    "GIT_COMMITTER_EMAIL": "ana@example.com",
}


def config_file(tmp_path: Path, text: str) -> dict[str, str]:
    """The variables under which a file with this text is all of git's configuration."""
    file = tmp_path / "gitconfig"
    file.write_text(text, encoding="utf-8")
    return {"GIT_CONFIG_GLOBAL": str(file), "GIT_CONFIG_NOSYSTEM": "1"}


def committed_files(project: Bake) -> set[str]:
    return set(project.run("git", "ls-tree", "-rz", "--name-only", "HEAD").stdout.split("\0")) - {
        ""
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where projects are generated, apart from a test's other files."""
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


def test_project_is_a_repository_with_all_its_files_in_one_commit_on_main(folder: Path) -> None:
    project = bake(folder, env=IDENTITY)
    assert project.run("git", "log", "--format=%an <%ae>").stdout == "Ana <ana@example.com>\n"
    assert project.run("git", "branch", "--show-current").stdout == "main\n"
    assert project.run("git", "status", "--porcelain").stdout == ""
    assert committed_files(project) == project.files()
    assert "Note:" not in project.output


def test_without_an_identity_the_first_commit_has_the_author_of_the_answers(
    folder: Path, tmp_path: Path
) -> None:
    answers = {"author_name": "Zoë O'Neil", "author_email": "ana@example.com"}
    project = bake(folder, answers, config_file(tmp_path, ""))
    assert "git config --global" in project.output
    author = project.run("git", "log", "--format=%an <%ae>").stdout
    assert author == "Zoë O'Neil <ana@example.com>\n"
    assert committed_files(project) == project.files()
    assert project.run("git", "config", "--local", "user.name", check=False).stdout == ""


def test_inside_another_repository_no_nested_one_is_made(folder: Path) -> None:
    run("git", "init", "--quiet", cwd=folder)
    project = bake(folder, env=IDENTITY)
    assert not (project.path / ".git").exists()
    assert "inside a git repository" in project.output


def test_a_folder_that_the_outer_repository_ignores_gets_its_own(folder: Path) -> None:
    run("git", "init", "--quiet", cwd=folder)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    assert (bake(folder, env=IDENTITY).path / ".git").is_dir()


def test_without_git_the_project_is_whole_and_says_so(folder: Path, tmp_path: Path) -> None:
    project = bake(folder, env={"PATH": str(tmp_path)})
    assert "git was not found" in project.output
    assert not (project.path / ".git").exists()
    assert "no_scm = true" in project.read(".dvc/config.local")


@pytest.mark.skipif(os.name == "nt", reason="the hook is a shell script")
def test_hooks_signing_and_ignore_file_of_the_user_do_not_get_in_the_way(
    folder: Path, tmp_path: Path
) -> None:
    hook = tmp_path / "hooks/pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    (tmp_path / "ignore").write_text("*.md\n", encoding="utf-8")
    settings = config_file(
        tmp_path,
        f"[core]\nhooksPath = {hook.parent}\nexcludesFile = {tmp_path / 'ignore'}\n"
        "autocrlf = true\nsafecrlf = true\n"
        "[commit]\ngpgSign = true\n[user]\nsigningKey = none\n[gpg]\nprogram = false\n",
    )
    project = bake(folder, env=IDENTITY | settings)
    assert committed_files(project) == project.files()


NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError("no network here")

sys.addaudithook(refuse)
"""


def test_generating_needs_no_network(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    offline = IDENTITY | {"PYTHONPATH": str(tmp_path)}
    connect = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert (
        "no network here"
        in run(sys.executable, "-c", connect, cwd=folder, env=offline, check=False).stderr
    )
    project = bake(folder, env=offline)
    assert committed_files(project) == project.files()


def test_generated_text_has_unix_line_ends(folder: Path) -> None:
    project = bake(folder)
    with_returns = [
        name
        for name in project.files()
        if Path(name).suffix != ".png" and b"\r" in (project.path / name).read_bytes()
    ]
    assert with_returns == []
