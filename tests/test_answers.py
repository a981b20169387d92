"""What happens to the answers: bad ones are turned away, odd but good ones arrive as they are."""

import ast
import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest

from .bakes import Bake, BakeOf, bake, clone, generate

BAD_ANSWERS = [
    ("project_name", "two\nlines", "one line of text"),
    ("description", "", "one line of text"),
    ("description", "a bell \a", "one line of text"),
    ("author_name", " ", "one line of text"),
    ("project_slug", "My-Project", "must begin with a letter and hold only"),
    ("project_slug", "1st-project", "must begin with a letter and hold only"),
    ("project_slug", "my--project", "must begin with a letter and hold only"),
    ("project_slug", "my_project", "must begin with a letter and hold only"),
    ("project_slug", "scikit-learn", "a library that the project uses"),
    ("project_slug", "com1", "Windows reserves"),
    ("package_name", "my-package", "must begin with a letter and hold only"),
    ("package_name", "café", "must begin with a letter and hold only"),
    ("package_name", "_private", "must begin with a letter and hold only"),
    ("package_name", "class", "a keyword of Python"),
    ("package_name", "json", "a module of Python itself"),
    ("package_name", "test", "a module of Python itself"),
    ("package_name", "torch", "a library that the project uses"),
    ("package_name", "dvc", "a library that the project uses"),
    ("package_name", "orjson", "a library that the project uses"),
    ("package_name", "deploy", "a folder of the project"),
    ("package_name", "ci", "a folder of the project"),
    ("package_name", "con", "Windows reserves"),
    ("package_name", "nul", "Windows reserves"),
    ("package_name", "a" * 41, "at most 40 characters"),
    ("author_email", "nobody", "must look like name@example.com"),
    ("author_email", "me@localhost", "must look like name@example.com"),
    ("author_email", "a b@example.com", "must look like name@example.com"),
    ("author_email", 'quote"@example.com', "must look like name@example.com"),
    ("github_username", "-me", "must be a name on GitHub"),
    ("github_username", "me_too", "must be a name on GitHub"),
    ("github_username", "a" * 40, "must be a name on GitHub"),
    ("dvc_remote_url", "s3://bucket", "must be a folder, or nothing, for dvc_remote=local"),
    ("dvc_remote_url", 'a"b', "must be a folder, or nothing, for dvc_remote=local"),
]
BAD_REMOTES = [
    ("s3", "", "must begin with s3:// and name a place"),
    ("s3", "s3://", "must begin with s3:// and name a place"),
    ("s3", "gs://bucket", "must begin with s3:// and name a place"),
    ("gs", "/a/folder", "must begin with gs:// and name a place"),
    (
        "azure",
        "https://account.example/x",
        "must begin with azure:// and name a place",
    ),
    ("ssh", "me@example.com:/srv", "must begin with ssh:// and name a place"),
    ("ssh", "ssh://example.com/a b", "must begin with ssh:// and name a place"),
]
ODD_TEXTS = [
    "It's Ana's",
    'the "best" one',
    "Zoë Ångström, café",
    "C:\\new\\table",
    "emoji 🎉👩‍🔬 and 漢字",
    "\"\"\" and ''' and \\",
    "  spaces  around  ",
    "100 % & <b> # {curly}",
]


def assert_turned_away(folder: Path, answers: dict[str, str]) -> str:
    result = generate(folder, answers)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.returncode != 0
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert list(folder.iterdir()) == []
    return errors[0]


@pytest.mark.parametrize(("question", "answer", "sentence"), BAD_ANSWERS)
def test_bad_answer_is_turned_away_with_one_sentence_and_nothing_written(
    question: str, answer: str, sentence: str, tmp_path: Path
) -> None:
    # A slug that is also no package name would give a second sentence.
    answers = {"package_name": "fine"} | {question: answer}
    error = assert_turned_away(tmp_path, answers)
    assert error.startswith(f"Error: {question} must")
    assert sentence in error


@pytest.mark.parametrize(("remote", "url", "sentence"), BAD_REMOTES)
def test_remote_address_that_does_not_fit_the_remote_is_turned_away(
    remote: str, url: str, sentence: str, tmp_path: Path
) -> None:
    answers = {"dvc_remote": remote, "dvc_remote_url": url}
    assert sentence in assert_turned_away(tmp_path, answers)


def test_every_bad_answer_gets_its_sentence_at_once(tmp_path: Path) -> None:
    result = generate(tmp_path, {"package_name": "torch", "author_email": "nobody"})
    assert "package_name must" in result.stderr
    assert "author_email must" in result.stderr


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_free_text_reaches_toml_json_and_licence_as_it_was_typed(text: str, tmp_path: Path) -> None:
    project = bake(
        tmp_path, {"project_name": f"Say {text}", "description": text, "author_name": text}
    )
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == text
    assert metadata["authors"][0]["name"] == text
    assert json.loads(project.read(".devcontainer/devcontainer.json"))["name"] == f"Say {text}"
    assert text in project.read("LICENSE")
    assert f"# Say {text}\n" in project.read("README.md")


def test_every_requirement_and_every_folder_is_a_name_that_is_refused(
    bake_of: BakeOf,
) -> None:
    project = bake_of("default")
    settings = tomllib.loads(project.read("pyproject.toml"))
    requirements = [
        *settings["project"]["dependencies"],
        *itertools.chain(*settings["dependency-groups"].values()),
        *settings["build-system"]["requires"],
    ]
    assert len(requirements) > 30
    names = {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}
    assert {as_module(name) for name in names} - libraries() == set()
    assert visible_folders(project) - refused_names("FOLDERS") == set()


@pytest.mark.slow
def test_everything_installed_and_every_folder_of_a_trained_project_is_refused(
    demo: Bake,
) -> None:
    list_names = (
        "from importlib.metadata import distributions, packages_distributions as modules;"
        "names = *filter(str.isidentifier, modules()), *(one.name for one in distributions());"
        "print(*names, sep='\\n')"
    )
    printed = demo.run(".venv/bin/python", "-c", list_names).stdout.split()
    names = {as_module(name) for name in printed} - {demo.package}
    assert len(names) > 100
    possible = {name for name in names if re.fullmatch(r"[a-z][a-z0-9_]*", name)}
    assert possible - libraries() == set()
    assert visible_folders(demo) - refused_names("FOLDERS") == set()


def as_module(name: str) -> str:
    return re.sub(r"[-.]", "_", name.lower())


def visible_folders(project: Bake) -> set[str]:
    return {
        path.name
        for path in project.path.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    }


def libraries() -> set[str]:
    return refused_names("INSTALLED") | refused_names("INSTALLED_ELSEWHERE")


def refused_names(constant: str) -> set[str]:
    """The words of one of the lists in the hook, which cannot be imported as it stands."""
    text = (clone() / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
    (value,) = (
        statement.value
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and statement.targets[0].id == constant
    )
    return set(str(ast.literal_eval(value)).split())


def test_slug_and_package_follow_from_the_name(tmp_path: Path) -> None:
    project = bake(tmp_path, {"project_name": "Zoë's 2nd Try!"})
    assert project.path.name == "zoe-s-2nd-try"
    assert project.package == "zoe_s_2nd_try"
