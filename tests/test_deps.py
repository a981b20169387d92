"""The stages of DVC's pipelines name all of their code, and no other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from .bakes import TEMPLATE
from .test_imports import imports, reached, relative_imports

PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
PACKAGE = PROJECT / "src/{{cookiecutter.package_name}}"
CODE = "src/package_name/"
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}  # by the name of their module


def stages_of(name: str) -> dict[str, Any]:
    text = (PROJECT / name).read_text(encoding="utf-8")
    named = re.sub(r"\$\{package\}|\{\{ cookiecutter\.package_name \}\}", "package_name", text)
    stages: dict[str, Any] = yaml.safe_load(named)["stages"]
    return stages


PIPELINES = {
    name: stages_of(name)
    for name in ("dvc.yaml", "dvc.image-folder.yaml", "deploy/torchserve/dvc.yaml")
}
STAGES = [
    pytest.param(stage, content["deps"], id=f"{name}:{stage}")
    for name, stages in PIPELINES.items()
    for stage, content in stages.items()
]


def named(deps: list[str]) -> set[Path]:
    """The files and folders of the package among a stage's `deps`."""
    paths = {PACKAGE / dep.removeprefix(CODE) for dep in deps if dep.startswith(CODE)}
    assert [path for path in paths if not path.exists()] == []
    return paths


def holds(path: Path, file: Path) -> bool:
    return path == file or path in file.parents


@pytest.mark.parametrize(("stage", "deps"), STAGES)
def test_a_stage_depends_on_the_modules_that_it_imports_and_on_no_others(
    stage: str, deps: list[str]
) -> None:
    imported = reached(PACKAGE, [f"stages.{stage}"])
    paths = named(deps)
    assert [file for file in imported if not any(holds(path, file) for path in paths)] == []
    modules = [path for path in paths if path.suffix in ("", ".py")]
    assert [path for path in modules if not any(holds(path, file) for file in imported)] == []


def versions_of(stage: dict[str, Any]) -> set[str]:
    """The libraries whose versions a stage depends on."""
    return {
        library
        for param in stage.get("params", ())
        if isinstance(param, dict)
        for library in param["metrics/versions.json"]
    }


@pytest.mark.parametrize("pipeline", ["dvc.yaml", "dvc.image-folder.yaml"])
def test_a_stage_depends_on_the_versions_of_the_libraries_that_it_uses(pipeline: str) -> None:
    noted = re.search(
        r"LIBRARIES = \((.+?)\)", (PACKAGE / "stages/versions.py").read_text(), re.DOTALL
    )
    assert noted
    libraries = set(re.findall(r'"(.+?)"', noted[1]))
    used = {name: versions_of(stage) for name, stage in PIPELINES[pipeline].items()}
    assert set().union(*used.values()) == libraries
    for name in set(used) - {"fetch"}:  # which keeps files as they came
        # Whether a stage opens images, these two do not tell: all stages import them.
        shared = {PACKAGE / "files.py", PACKAGE / "preprocess.py"}
        files = reached(PACKAGE, [f"stages.{name}"]) - shared
        modules = {module for file in files for module in imports(file)}
        imported = {DISTRIBUTIONS.get(module, module) for module in modules} & libraries
        by_torch = {"onnx", "onnxscript"} if PACKAGE / "export.py" in files else set()
        assert used[name] == imported | by_torch, name


@pytest.mark.parametrize(("stage", "deps"), STAGES)
def test_a_stage_depends_on_the_templates_that_it_fills_in(stage: str, deps: list[str]) -> None:
    folder = PACKAGE / "reporting/templates"
    texts = [file.read_text("utf-8") for file in reached(PACKAGE, [f"stages.{stage}"])]
    used = {folder / f"{name}.j2" for text in texts for name in rendered(text)}
    used |= {folder / name for file in used for name in included(file.read_text("utf-8"))}
    assert used == {path for path in named(deps) if path.suffix == ".j2"}


def rendered(code: str) -> list[str]:
    return re.findall(r'\brender\(\s*"([\w.-]+)"', code)


def included(template: str) -> list[str]:
    return re.findall(r'include "([\w.-]+)"', template)


def test_documents_come_last_nothing_that_they_are_about_imports_them() -> None:
    documents = PACKAGE / "reporting"
    above = {"measure", "monitoring", "reporting", "site", "stages"}
    below = [file for file in PACKAGE.rglob("*.py") if not above & set(file.parts)]
    assert below
    for file in below:
        assert [path for path in relative_imports(file) if documents in path.parents] == []
