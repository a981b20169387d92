"""Install the project, and find out where this machine can get PyTorch: `make setup` runs it.

    uv run --no-project ci/install.py --group cpu

The arguments are those of `uv sync`. PyTorch for the CPU comes from the first of these that works:

1. PyTorch's own index, which pyproject.toml names;
2. a folder of wheels that UV_FIND_LINKS or PIP_FIND_LINKS names;
3. the index of all other packages, whose wheel for Linux is larger by gigabytes.

For 2 and 3 it writes uv.toml, which git ignores, so that every later `uv` in this folder does the
same. A mirror that PIP_INDEX_URL names goes there too, since uv does not read that variable.
Needs only Python and uv.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

UV = os.environ.get("UV", "uv")  # `uv run` sets it to its own path
SETTINGS = Path("uv.toml")
MARK = "# Written by ci/install.py for this machine; delete it to have it look again.\n"
COMMON = ("fork-strategy", "system-certs")  # repeated in uv.toml, which hides pyproject.toml's
PROBE = {"UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "1"}  # seconds an index has to respond
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def main() -> None:
    """Install from the lock file as it stands, or else choose where PyTorch comes from first."""
    os.environ.pop("VIRTUAL_ENV", None)  # `uv run` may have found one in a folder above
    sync = [UV, "sync", *sys.argv[1:]]
    offline = [*sync, "--quiet", "--locked", "--offline"]
    if subprocess.run(offline, capture_output=True).returncode == 0:
        return  # all of it is here, or in uv's cache: no index has to be asked
    if not SETTINGS.exists() or SETTINGS.read_text(encoding="utf-8").startswith(MARK):
        sync += choose_source()
        if subprocess.run(offline, capture_output=True).returncode == 0:
            return  # the lock file was made with the same source, and stays as it is
    sys.exit(subprocess.run(sync).returncode)


def choose_source() -> list[str]:
    """Write uv.toml where PyTorch's index does not answer; remove it where it does.

    Returns:
        Options of `uv sync` without which a newer version of the default index would go before
        the wheel in a folder. The lock file keeps the choice for later calls of uv.
    """
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    [requirement] = project["dependency-groups"]["cpu"]
    [index] = project["tool"]["uv"]["index"]
    settings = {name: project["tool"]["uv"][name] for name in COMMON}
    indexes, options = mirror(), []
    if newest(requirement, "--default-index", index["url"]):
        indexes = [index, *indexes] if indexes else []
    else:
        settings["no-sources"] = True
        source = "the larger wheel of the default index"
        for folder in [] if "cuda" in sys.argv else wheel_folders():
            if wheel := newest(requirement, "--no-index", "--find-links", folder):
                settings["find-links"] = [folder]
                options = ["--upgrade-package", f"{wheel} ; {this_machine()}"]
                source = f"{wheel} in {folder}"
                break
        print(f"{index['url']} does not answer: PyTorch is {source} (see uv.toml).", flush=True)
    SETTINGS.unlink(missing_ok=True)
    if indexes or "no-sources" in settings:
        tables = [f"\n[[index]]\n{toml(entry)}" for entry in indexes]
        SETTINGS.touch(mode=0o600)  # a mirror's address may hold a password
        SETTINGS.write_text(MARK + toml(settings) + "".join(tables), encoding="utf-8")
    return options


def newest(requirement: str, *source: str) -> str:
    """The version that uv would take, such as `torch==2.13.0+cpu`; empty where it finds none.

    Args:
        requirement: what is wanted, such as `torch>=2.11`.
        source: where to look, as options of `uv pip compile`.
    """
    own = {"UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX"}
    env = {key: value for key, value in os.environ.items() if key not in own} | PROBE
    command = [UV, "pip", "compile", "-", "--system-certs", "--no-cache", "--no-deps", *source]
    command += ["--quiet", "--no-header", "--no-annotate", f"--python-version={PYTHON}"]
    with tempfile.TemporaryDirectory() as cwd:  # where no settings of the project are read
        done = subprocess.run(
            command, cwd=cwd, env=env, input=requirement, capture_output=True, text=True
        )
    return done.stdout.strip() if done.returncode == 0 else ""


def this_machine() -> str:
    """The environment marker of this Python and machine: a folder's wheel may fit no other."""
    machine = f"sys_platform == '{sys.platform}' and platform_machine == '{platform.machine()}'"
    return f"python_version == '{PYTHON}' and {machine}"


def wheel_folders() -> list[str]:
    """The places with wheels that the environment names for uv and for pip."""
    of_uv = os.environ.get("UV_FIND_LINKS", "").split(",")
    of_pip = os.environ.get("PIP_FIND_LINKS", "").split()
    places = [place.strip() for place in [*of_uv, *of_pip] if place.strip()]
    return [str(Path(place).resolve()) if Path(place).exists() else place for place in places]


def mirror() -> list[dict[str, object]]:
    """The index that PIP_INDEX_URL names, where uv has none of its own."""
    url = os.environ.get("PIP_INDEX_URL")
    has_own = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    return [{"url": url, "default": True}] if url and not has_own else []


def toml(values: dict[str, object]) -> str:
    """Strings, booleans and lists as lines of TOML, which writes them as JSON does."""
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    return "".join(lines)


if __name__ == "__main__":
    main()
