"""A machine with git, make and Python alone, and a user of it for whom nothing is set."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# What a bare machine lacks, by the beginnings of the programs' names.
NOT_BARE = ("chrom", "docker", "doas", "podman", "sudo", "uv")
CERTIFICATES = (
    *("CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
)
NOBODY = 65534


@dataclass(frozen=True)
class Bare:
    """A user who is not root, on a machine with git, make and Python, and with nothing set.

    Everything that the user reads or writes has to be below `home`, which starts out empty: there
    is no git identity, no cache of packages, no configuration.
    """

    home: Path
    programs: Path  # all that is on PATH

    def take(self, folder: Path, name: str) -> Path:
        """Copy a folder into the user's home, and make it the user's own."""
        path = self.home / name
        shutil.copytree(folder, path, symlinks=True)
        if os.getuid() == 0:
            for found in (path, *path.rglob("*")):
                os.chown(found, NOBODY, NOBODY, follow_symlinks=False)
        return path

    def run(
        self,
        *command: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        certificates: bool = True,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with PATH, HOME, the machine's variables for certificates, and `env`."""
        environment = {"PATH": str(self.programs), "HOME": str(self.home)}
        if certificates:
            environment |= {key: os.environ[key] for key in CERTIFICATES if key in os.environ}
        root = os.getuid() == 0
        result = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=environment | dict(env or {}),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        if check and result.returncode != 0:
            output = result.stdout + result.stderr
            pytest.fail(f"{command} ended with {result.returncode}:\n{output}")
        return result


@contextmanager
def bare_machine() -> Iterator[Bare]:
    """A user with an empty home, apart from pytest's folders, which are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="bare-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        programs = folder / "bin"
        programs.mkdir()
        for place in ("/usr/local/bin", "/usr/bin", "/bin"):
            for program in Path(place).glob("*"):
                link = programs / program.name
                if not program.name.startswith(NOT_BARE) and not link.is_symlink():
                    link.symlink_to(program)
        home = folder / "home"
        home.mkdir()
        if os.getuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        yield Bare(home, programs)
