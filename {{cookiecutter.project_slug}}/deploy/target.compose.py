"""Docker Compose on a host over SSH. What happens there is in takeover.sh."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .image import logged_in
from .settings import Settings
from .shell import DeployError, run, write_private

FILES = ("compose.yaml", "Caddyfile", "takeover.sh", "observability")


@dataclass(frozen=True)
class Host:
    """The project's folder on the host. options: of both ssh and scp."""

    address: str
    folder: str
    options: list[str]

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command in the folder and return what it prints; messages go to the terminal."""
        line = f"mkdir -p {shlex.quote(self.folder)} && cd {shlex.quote(self.folder)}"
        line = f"{line} && {shlex.join(command)}"
        return run("ssh", *self.options, self.address, line, stdin=stdin, stderr=None)

    def copy(self, *names: str) -> None:
        """Copy files and folders of `deploy/` there."""
        paths = [str(Path("deploy", name)) for name in names]
        run("scp", "-qr", *self.options, *paths, f"{self.address}:{self.folder}/")


def deploy(image: str, settings: Settings) -> str:
    """Start `image` beside the version that answers; once it is ready, it takes over.

    Raises:
        DeployError: it did not become ready; what answered before goes on doing so.
    """
    with connected(settings) as host:
        host.run("mkdir", "-p", "active")
        host.copy(*FILES)
        with logged_in(settings, host.run):
            return host.run("sh", "takeover.sh", f"{settings.deploy_timeout:.0f}", image)


def rollback(settings: Settings) -> str:
    """Let the version before the present one take over again."""
    with connected(settings) as host:
        return host.run("sh", "takeover.sh", f"{settings.deploy_timeout:.0f}")


@contextmanager
def connected(settings: Settings) -> Iterator[Host]:
    """The host, reached with the given key or else with the user's own."""
    if not settings.deploy_host:
        raise DeployError("DEPLOY_HOST is not set: it has to be user@host, reachable over SSH.")
    files = {
        "IdentityFile": settings.deploy_ssh_key.get_secret_value(),
        "UserKnownHostsFile": settings.deploy_known_hosts,
    }
    options = ["-o", "BatchMode=yes", "-o", f"Port={settings.deploy_port}"]
    with TemporaryDirectory() as folder:
        for option, text in files.items():
            if text:
                options += ["-o", f"{option}={write_private(Path(folder, option), text)}"]
        yield Host(settings.deploy_host, settings.deploy_path, options)
