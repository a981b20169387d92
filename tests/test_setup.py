"""Setting up finds PyTorch by itself, on machines that reach different parts of the internet.

The wheels and indexes of PyTorch here are stand-ins: small wheels of that name, on loopback or in a
folder. All other packages are real.
"""

import contextlib
import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .bakes import Bake, BakeOf, clean_environment, missing, run
from .bare import Bare
from .servers import http_folder

INDEX = "https://download.pytorch.org/whl/cpu"  # what pyproject.toml names
NOWHERE = "http://127.0.0.1:9/whl/cpu"  # nothing listens on the port `discard`
# What a user may have set that would change where packages come from.
SOURCES = ("UV_FIND_LINKS", "PIP_FIND_LINKS", "PIP_INDEX_URL")
VERSION = "2.12.0+cpu"  # older than the default index's newest
INSTALL = ("uv", "run", "--quiet", "--no-project", "ci/install.py")  # as `make setup` does
ONLY_TORCH = ("--only-group", "cpu")
STORE = Path("/etc/ssl/certs")  # the system's, on Debian and its kin

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Project:
    """The files of a project that say what it installs, in a folder of its own."""

    path: Path
    env: dict[str, str]

    def install(self, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run what `make setup` runs, by default for PyTorch alone."""
        command = (*INSTALL, *(options or ONLY_TORCH))
        return run(*command, cwd=self.path, env=self.env | env)

    def point_at(self, index: str) -> None:
        """Put another address in place of PyTorch's own index."""
        file = self.path / "pyproject.toml"
        text = file.read_text("utf-8")
        assert INDEX in text
        file.write_text(text.replace(INDEX, index), encoding="utf-8")

    def version(self) -> str:
        """The version of PyTorch that is installed."""
        (folder,) = self.path.glob(".venv/lib/python*/site-packages/torch-*.dist-info")
        return folder.name.removeprefix("torch-").removesuffix(".dist-info")

    def packages(self) -> dict[str, set[str]]:
        """The versions that the lock file has of each package but PyTorch."""
        found: dict[str, set[str]] = {}
        for package in tomllib.loads((self.path / "uv.lock").read_text("utf-8"))["package"]:
            found.setdefault(package["name"], set()).add(package.get("version", ""))
        return {name: versions for name, versions in found.items() if name != "torch"}

    def files(self) -> dict[str, bytes]:
        """The files that a second set-up has to leave as they are."""
        names = ("pyproject.toml", "uv.lock", "uv.toml")
        paths = [self.path / name for name in names if (self.path / name).exists()]
        return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def project(bake_of: BakeOf, tmp_path: Path) -> Project:
    """A new project on a machine whose user has set nothing."""
    path = tmp_path / "project"
    for name in ("pyproject.toml", ".python-version", "ci/install.py", "README.md"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bake_of("default").path / name, path / name)
    # An empty variable is none, for uv and pip alike.
    return Project(path, dict.fromkeys(SOURCES, ""))


def write_wheel(folder: Path) -> None:
    """Write the stand-in for PyTorch's wheel: its name and version, and an empty module."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"torch-{VERSION}.dist-info"
    files = {
        "torch.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"torch-{VERSION}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


@contextlib.contextmanager
def pytorch_index(folder: Path) -> Iterator[str]:
    """Serve the stand-in for PyTorch's index; gives its address."""
    write_wheel(folder / "torch")
    with http_folder(folder) as url:
        yield url


def test_pytorchs_index_is_used_where_it_answers(project: Project, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels")
    with pytorch_index(tmp_path / "index") as url:
        project.point_at(url)
        done = project.install(PIP_FIND_LINKS=str(tmp_path / "wheels"))
        assert "does not answer" not in done.stdout
        assert project.version() == VERSION
        assert f'registry = "{url}' in (project.path / "uv.lock").read_text("utf-8")
        assert not (project.path / "uv.toml").exists()
        # So does the plain line of the README.
        shutil.rmtree(project.path / ".venv")
        run("uv", "sync", *ONLY_TORCH, cwd=project.path, env=project.env)
        assert project.version() == VERSION


@pytest.mark.parametrize("variable", ["PIP_FIND_LINKS", "UV_FIND_LINKS"])
def test_a_folder_of_wheels_is_used_where_the_index_does_not_answer(
    variable: str, project: Project, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    write_wheel(wheels)
    project.point_at(NOWHERE)
    done = project.install(**{variable: str(wheels)})
    (line,) = done.stdout.splitlines()
    found = f"torch=={VERSION} in {wheels}"
    assert line == f"{NOWHERE} does not answer: PyTorch is {found} (see uv.toml)."
    assert project.version() == VERSION
    # From here on the plain lines of the README do the same, with nothing set.
    shutil.rmtree(project.path / ".venv")
    run("uv", "sync", *ONLY_TORCH, cwd=project.path, env=project.env)
    assert project.version() == VERSION


def test_the_default_index_is_the_last_resort_and_its_larger_wheel_is_named(
    project: Project,
) -> None:
    project.point_at(NOWHERE)
    # Resolving alone: installing would be gigabytes.
    done = project.install("--dry-run", *ONLY_TORCH)
    (line,) = done.stdout.splitlines()
    assert "does not answer: PyTorch is the larger wheel of the default index" in line
    assert re.search(r"Would install|torch==2\.\d+\.\d+\n", done.stderr)
    assert "+cpu" not in done.stderr


def test_a_mirror_that_pip_is_told_of_serves_uv_too(project: Project) -> None:
    with recorded_index() as (url, asked):
        project.point_at(NOWHERE)
        env = project.env | {"PIP_INDEX_URL": url}
        run(
            *(*INSTALL, "--dry-run", *ONLY_TORCH),
            cwd=project.path,
            env=env,
            check=False,  # the stand-in for the mirror has no package at all
        )
    assert any("/torch/" in path for path in asked)
    assert f'url = "{url}"' in (project.path / "uv.toml").read_text("utf-8")


@contextlib.contextmanager
def recorded_index() -> Iterator[tuple[str, list[str]]]:
    """An index without packages, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
        server.shutdown()


def test_an_index_that_takes_connections_and_never_answers_is_passed_over(
    project: Project, tmp_path: Path
) -> None:
    write_wheel(tmp_path / "wheels")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        project.point_at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        project.install(PIP_FIND_LINKS=str(tmp_path / "wheels"))
    assert project.version() == VERSION


def test_a_second_set_up_changes_nothing_and_asks_nobody(project: Project, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels")
    project.point_at(NOWHERE)
    project.install(PIP_FIND_LINKS=str(tmp_path / "wheels"))
    before = project.files()
    done = project.install(UV_OFFLINE="1")
    assert (done.stdout, done.stderr) == ("", "")
    assert project.files() == before


def test_a_lock_file_made_one_way_serves_the_other_way_and_back(
    project: Project, tmp_path: Path
) -> None:
    wheels = str(tmp_path / "wheels")
    write_wheel(tmp_path / "wheels")
    with pytorch_index(tmp_path / "index") as url:
        project.point_at(url)
        project.install()
        by_index, before = (project.path / "uv.lock").read_text("utf-8"), project.packages()
    project.install("--reinstall", *ONLY_TORCH, UV_NO_CACHE="1", PIP_FIND_LINKS=wheels)
    assert project.version() == VERSION
    after = project.packages()
    assert len(before.keys() & after.keys()) > 100
    assert [name for name in before.keys() & after.keys() if before[name] != after[name]] == []
    assert (project.path / "uv.lock").read_text("utf-8") != by_index
    # Somebody who reaches the index gets the lock file of the folder, and no uv.toml.
    (project.path / "uv.toml").unlink()
    shutil.rmtree(project.path / ".venv")
    port = int(url.rpartition(":")[2])
    with http_folder(tmp_path / "index", port):
        project.install()
    assert project.version() == VERSION
    assert project.packages() == before
    assert f'registry = "{url}' in (project.path / "uv.lock").read_text("utf-8")


def test_settings_of_ones_own_are_left_alone(project: Project) -> None:
    project.point_at(NOWHERE)
    own = "# ours\nno-sources = true\nsystem-certs = true\n"
    (project.path / "uv.toml").write_text(own, encoding="utf-8")
    assert project.install("--dry-run", *ONLY_TORCH).stdout == ""
    assert (project.path / "uv.toml").read_text("utf-8") == own


def test_what_was_written_for_this_machine_stays_out_of_git(bake_of: BakeOf) -> None:
    assert bake_of("default").run("git", "check-ignore", "uv.toml").stdout == "uv.toml\n"


def test_a_bare_machine_gets_uv_and_all_packages_with_an_empty_cache(
    bare: Bare, bake_of: BakeOf
) -> None:
    wheels = str(bare.home / "wheels")
    write_wheel(Path(wheels))
    project = bare.take(bake_of("default").path, "project")
    # Without the variables for certificates: what the system's store has is enough.
    for target in ("setup", "setup"):
        done = bare.run(
            *("make", target), cwd=project, env={"PIP_FIND_LINKS": wheels}, certificates=False
        )
    assert done.stdout.count("\n") == 1  # the second time, make shows its line and nothing happens
    version = bare.run(".uv/bin/uv", "run", "dvc", "--version", cwd=project, certificates=False)
    assert re.match(r"\d+\.\d+", version.stdout)


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A folder with a certificate authority, and a certificate of it for 127.0.0.1."""
    folder = tmp_path / "company"
    folder.mkdir()
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    files = ("-noenc", "-days", "1", "-keyout", "{}.key", "-out", "{}.pem", "-subj", "/CN={}")
    signed = (
        *("-CA", "authority.pem", "-CAkey", "authority.key"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"),
    )
    for name, options in {"authority": (), "server": signed}.items():
        run(*new, *(part.format(name) for part in files), *options, cwd=folder)
    return folder


@contextlib.contextmanager
def https_folder(folder: Path, company: Path) -> Iterator[str]:
    """Serve a folder over HTTPS on loopback, with the company's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(company / "server.pem", company / "server.key")
    with http_folder(folder, tls=context) as url:
        yield url


def test_a_companys_certificate_authority_in_the_systems_store_needs_no_variable(
    project: Project, demo: Bake, company: Path, tmp_path: Path
) -> None:
    if os.getuid() != 0 or not shutil.which("unshare"):
        missing("a store of certificates of one's own wants root and unshare (Debian: util-linux)")
    store = tmp_path / "store"
    shutil.copytree(STORE, store, symlinks=True)
    shutil.copy2(company / "authority.pem", store / "company.pem")
    with (store / "ca-certificates.crt").open("a", encoding="utf-8") as bundle:
        bundle.write((company / "authority.pem").read_text("utf-8"))
    run("openssl", "rehash", store, cwd=tmp_path)

    write_wheel(tmp_path / "index/torch")
    (official,) = demo.path.glob(".venv/lib/python*/site-packages/sklearn/datasets/data")
    shutil.copy2(official / "digits.csv.gz", tmp_path / "index")
    uv = shutil.which("uv", path=clean_environment()["PATH"])
    assert uv
    with https_folder(tmp_path / "index", company) as url:
        project.point_at(url)
        # `make setup`, and the download of data with the packages that the demo has installed.
        install = (uv, *INSTALL[1:])
        commands = f"""
            set -e
            mount --bind {store} {STORE}
            {" ".join([*install, *ONLY_TORCH])}
            cp {demo.path}/params.yaml .
            DATA_SOURCE_URL={url} {demo.path}/.venv/bin/python -m {demo.package}.stages.fetch
        """
        variables = [f"{name}={os.environ[name]}" for name in ("PATH", "HOME")]
        clean = ("env", "--ignore-environment", *variables)
        unknown = run(*clean, *install, "--dry-run", *ONLY_TORCH, cwd=project.path)
        assert f"{url} does not answer" in unknown.stdout
        run("unshare", "--mount", *clean, "sh", "-c", commands, cwd=project.path)
    assert project.version() == VERSION
    assert (project.path / "data/raw/digits.csv.gz").exists()
