"""Which files each answer gives, and that every one of them is whole and valid."""

import configparser
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .bakes import Bake, BakeOf, clone

PROJECT_FOLDER = "{{cookiecutter.project_slug}}"
PACKAGE_FOLDER = "{{cookiecutter.package_name}}"
DATASETS = ["digits", "fashion-mnist", "cifar10", "image-folder"]
SERVERS = ["fastapi", "torchserve"]
TARGETS = ["compose", "kubernetes"]
LICENSES = ["MIT", "Apache-2.0", "Proprietary"]
# Files of the template that never keep their name, and those that stand in for them.
VARIANTS = {
    "python-version",
    "dvc.image-folder.yaml",
    *(f"deploy/service.{server}.py" for server in SERVERS),
    *(f"deploy/docker/Dockerfile.{server}" for server in SERVERS),
    *(f"deploy/target.{target}.py" for target in TARGETS),
    *(f"params.{dataset}.yaml" for dataset in DATASETS),
    *(f"LICENSE.{name}" for name in LICENSES),
}
FROM_VARIANTS = {
    *(".python-version", "params.yaml", "LICENSE"),
    *("deploy/service.py", "deploy/target.py", "deploy/docker/Dockerfile"),
}
# By choice, the files of the template that it alone has, or that it alone lacks.
COMPOSE = {
    *("deploy/compose.yaml", "deploy/takeover.sh", "deploy/Caddyfile"),
    *("deploy/observability/prometheus.yml", "docs/compose.md"),
    "docs/decisions/two-slots-and-a-file.md",
}
KUBERNETES = {"docs/kubernetes.md"} | {
    f"deploy/kubernetes/{name}.yaml"
    for name in (
        *("base/kustomization", "base/deployment", "base/service", "base/autoscaler"),
        *("base/disruption-budget", "base/network-policy", "base/service-account"),
        *("overlays/staging/kustomization", "overlays/staging/namespace"),
        *("overlays/production/kustomization", "overlays/production/namespace"),
    )
}
TORCHSERVE = {
    *(".gitignore", "README.md", "config.properties", "dvc.yaml", "healthcheck.py"),
}
ADDED: dict[str, set[str]] = {
    "kubernetes": KUBERNETES,
    "torchserve": {
        *(f"deploy/torchserve/{name}" for name in TORCHSERVE),
        f"src/{PACKAGE_FOLDER}/serving/torchserve.py",
        f"src/{PACKAGE_FOLDER}/stages/package.py",
    },
}
REMOVED: dict[str, set[str]] = {"kubernetes": COMPOSE}


def test_each_choice_gives_exactly_its_files(
    any_bake: Bake, request: pytest.FixtureRequest
) -> None:
    choice = request.node.callspec.params["any_bake"]
    template = Bake(clone() / PROJECT_FOLDER, output="").files()
    expected = (template - VARIANTS) | FROM_VARIANTS
    for other, names in ADDED.items():
        expected -= set() if other == choice else names
    expected -= REMOVED.get(choice, set())
    assert any_bake.files() == {name.replace(PACKAGE_FOLDER, any_bake.package) for name in expected}


@pytest.mark.parametrize("dataset", DATASETS)
def test_params_are_those_of_the_data_set(dataset: str, bake_of: BakeOf) -> None:
    project = bake_of("default" if dataset == "digits" else dataset)
    assert project.read("params.yaml") == template_text(f"params.{dataset}.yaml")
    assert yaml.safe_load(project.read("params.yaml"))["fetch"]["dataset"] == dataset


def test_every_data_set_has_the_same_knobs_under_the_same_comments() -> None:
    of_its_own = ("base_url", "horizontal_flip")  # what to know of them is not the same for all

    def knobs(dataset: str) -> list[tuple[str, str]]:
        lines = re.findall(r"^ *(\w+):[^#\n]*(.*)", template_text(f"params.{dataset}.yaml"), re.M)
        return [(key, "" if key in of_its_own else comment) for key, comment in lines]

    assert {tuple(knobs(dataset)) for dataset in DATASETS} == {tuple(knobs("digits"))}


def test_pipelines_differ_only_in_where_the_users_own_pictures_come_from(bake_of: BakeOf) -> None:
    plain, own = (bake_of(name).read("dvc.yaml") for name in ("default", "image-folder"))
    assert "data/images" in yaml.safe_load(own)["stages"]["fetch"]["deps"]
    assert own.replace("      - data/images\n", "") == plain


@pytest.mark.parametrize(
    ("name", "first_words"),
    [("default", "MIT License"), ("apache", "Apache License"), ("proprietary", "Copyright (c)")],
)
def test_licence_is_the_chosen_one(name: str, first_words: str, bake_of: BakeOf) -> None:
    text = bake_of(name).read("LICENSE")
    assert text.lstrip().startswith(first_words)
    assert "Your Name" in text


@pytest.mark.parametrize("remote", ["s3", "gs", "azure", "ssh"])
def test_dvc_remote_and_its_plugin_are_set(remote: str, bake_of: BakeOf) -> None:
    project = bake_of(remote)
    dependencies = tomllib.loads(project.read("pyproject.toml"))["project"]["dependencies"]
    assert f"dvc[{remote}]>=3.60" in dependencies
    assert remote_url(project).startswith(f"{remote}://")


def remote_url(project: Bake) -> str:
    config = configparser.ConfigParser()
    config.read(project.path / ".dvc/config", encoding="utf-8")
    assert config["core"]["remote"] == "storage"
    return config["'remote \"storage\"'"]["url"].strip('"')


def test_python_version_is_the_chosen_one(bake_of: BakeOf) -> None:
    assert bake_of("default").read(".python-version") == "3.11\n"
    assert bake_of("python-3.13").read(".python-version") == "3.13\n"


def test_no_tag_and_no_placeholder_is_left(any_bake: Bake) -> None:
    leftover = re.compile(rb"cookiecutter\.|\{%|%\}|\bpackage_name\b")
    files = [name for name in any_bake.files() if not name.endswith(".j2")]  # the project's own
    found = [name for name in files if leftover.search((any_bake.path / name).read_bytes())]
    assert found == []
    assert [name for name in any_bake.files() if "{" in name] == []


def test_no_python_source_and_no_workflow_of_the_template_holds_a_tag() -> None:
    tag = re.compile(r"\{\{ *cookiecutter|\{%")
    folder = clone() / PROJECT_FOLDER
    sources = [*folder.rglob("*.py"), *folder.glob(".github/workflows/*")]
    assert sources
    assert [path for path in sources if tag.search(path.read_text(encoding="utf-8"))] == []


def test_every_yaml_toml_and_json_file_can_be_read(any_bake: Bake) -> None:
    readers: dict[str, Callable[[str], object]] = {
        ".json": json.loads,
        ".toml": tomllib.loads,
        ".yaml": lambda text: list(yaml.safe_load_all(text)),
        ".yml": lambda text: list(yaml.safe_load_all(text)),
    }
    suffixes = []
    for name in sorted(any_bake.files()):
        suffix = Path(name).suffix
        if suffix in readers:
            readers[suffix](any_bake.read(name))  # raises, with the place, where it is broken
            suffixes.append(suffix)
    assert {".json", ".toml", ".yaml"} <= set(suffixes)


def test_every_link_in_a_new_projects_documents_leads_to_a_file(any_bake: Bake) -> None:
    link = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
    documents = [any_bake.path / name for name in any_bake.files() if name.endswith(".md")]
    links = [
        (path.relative_to(any_bake.path), target)
        for path in documents
        for target in link.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(links) > 20
    assert [
        (str(path), target)
        for path, target in links
        if not (any_bake.path / path.parent / target).exists()
    ] == []


def test_documents_tell_of_the_chosen_target_and_server_alone(
    any_bake: Bake, request: pytest.FixtureRequest
) -> None:
    choice = request.node.callspec.params["any_bake"]
    docs = ("README.md", "docs/ci.md", "docs/deploy.md", "docs/compose.md", "docs/kubernetes.md")
    text = "\n".join(any_bake.read(name) for name in docs if (any_bake.path / name).exists())
    assert ("kubectl" in text) == ("KUBE_CONFIG" in text) == (choice == "kubernetes")
    assert ("Docker Compose" in text) == ("DEPLOY_SSH_KEY" in text) == (choice != "kubernetes")
    assert ("TorchServe" in text) == (choice == "torchserve")
    assert ("serving.keys" in text) == (choice != "torchserve")
    assert "deploy_target=" not in text
    assert "{image}" not in text
    workflows = [path.name for path in (any_bake.path / ".github/workflows").iterdir()]
    assert [name for name in workflows if f"`{name}`" not in any_bake.read("docs/ci.md")] == []


def test_every_file_name_fits_windows(any_bake: Bake) -> None:
    assert [name for name in any_bake.files() if re.search(r'[<>:"|?*\\]', name)] == []


def template_text(name: str) -> str:
    return (clone() / PROJECT_FOLDER / name).read_text(encoding="utf-8")
