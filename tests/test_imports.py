"""What code imports is declared where that code is installed; nothing comes along by chance."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from .bakes import SCRIPTS, TEMPLATE, Bake, BakeOf, run

# Where code of a folder runs, by the dependencies that are there.
PIPELINE = ["base", "cpu"]
EVERYWHERE = [*PIPELINE, "serve", "dev"]  # `make setup`
GROUPS = {"ci": ["base"], "deploy": EVERYWHERE, "src": EVERYWHERE, "tests": EVERYWHERE}
# Triton comes with PyTorch for CUDA, where alone its kernels run; dvc_ssh with an extra of DVC;
# Optuna, Dask and MLflow with groups that are added where they are asked for.
COMES_ALONG = {"triton", "dvc_ssh", "optuna", "distributed", "mlflow"}
# What the container starts, and what is called in it.
SERVED = {"fastapi": ["serving.__main__", "serving.app", "serving.keys"]}


@pytest.fixture(params=["default", "torchserve", "kubernetes"])
def project(request: pytest.FixtureRequest, bake_of: BakeOf) -> Bake:
    """Each bake whose imports differ from another's."""
    return bake_of(request.param)


@pytest.fixture(scope="module")
def providers(environment: Path) -> dict[str, list[str]]:
    """By module that one may import, the distributions that it comes from."""
    script = (
        "import json; from importlib.metadata import packages_distributions as found;"
        "print(json.dumps(found()))"
    )
    python = environment / SCRIPTS / "python"
    answer: dict[str, list[str]] = json.loads(run(python, "-c", script, cwd=environment).stdout)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("folder", GROUPS)
def test_a_project_declares_what_it_imports(
    folder: str, project: Bake, providers: dict[str, list[str]]
) -> None:
    own = {project.package, *GROUPS}
    sources = sorted((project.path / folder).rglob("*.py"))
    assert sources
    imported = {name for path in sources for name in imports(path)} - own
    known = declared(project.path, GROUPS[folder])
    assert undeclared(imported - COMES_ALONG, providers, known) == {}


@pytest.mark.slow
def test_the_pipeline_imports_nothing_of_the_service(
    project: Bake, providers: dict[str, list[str]]
) -> None:
    package = project.path / "src" / project.package
    stages = [f"stages.{path.stem}" for path in (package / "stages").glob("*.py")]
    imported = {name for path in reached(package, stages) for name in imports(path)}
    known = declared(project.path, PIPELINE)
    assert undeclared(imported - COMES_ALONG, providers, known) == {}


@pytest.mark.slow
def test_the_service_imports_only_what_its_container_has(
    bake_of: BakeOf, providers: dict[str, list[str]]
) -> None:
    for name, groups in (("default", ["serve"]), ("torchserve", ["serve", "cpu"])):
        project = bake_of(name)
        package = project.path / "src" / project.package
        started = ["serving.torchserve"] if name == "torchserve" else SERVED["fastapi"]
        imported = {name for path in reached(package, started) for name in imports(path)}
        assert undeclared(imported, providers, declared(project.path, groups)) == {}


@pytest.mark.parametrize("folder", ["benchmarks", "scripts", "tests"])
def test_the_template_declares_what_it_imports(folder: str) -> None:
    sources = [
        path
        for path in (TEMPLATE / folder).rglob("*.py")
        if not {"peers", "product"} & set(path.parts)  # they run in environments of their own
    ]
    imported = {name for path in sources for name in imports(path)}
    own = {"benchmarks", "scripts", "tests"}
    known = declared(TEMPLATE, ["base", "dev"])
    assert undeclared(imported - own, packages_distributions(), known) == {}


def imports(path: Path) -> Iterator[str]:
    """The top-level names of the libraries that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = (node.module,)
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names:
                yield top


def reached(package: Path, modules: Iterable[str]) -> set[Path]:
    """The files of these modules, and of all of the package that they import, directly or not."""
    waiting = [package / f"{module.replace('.', '/')}.py" for module in modules]
    files: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting += relative_imports(path)
    assert files
    return files


def relative_imports(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            base = folder.joinpath(*(node.module or "").split("."))
            for target in (base, *(base / alias.name for alias in node.names)):
                for file in (target.with_suffix(".py"), target / "__init__.py"):
                    if file.is_file():
                        yield file


def declared(project: Path, groups: Iterable[str]) -> set[str]:
    """The distributions that pyproject.toml asks for in these groups, `base` among them."""
    content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    everything = {"base": content["project"]["dependencies"], **content["dependency-groups"]}
    requirements = [requirement for group in groups for requirement in everything[group]]
    return {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


def undeclared(
    imported: Iterable[str], providers: Mapping[str, list[str]], known: set[str]
) -> dict[str, list[str]]:
    """The imports that none of the known distributions gives, with those that do."""
    given = {name: [normal(found) for found in providers.get(name, [])] for name in imported}
    return {name: found for name, found in given.items() if not known & set(found)}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
