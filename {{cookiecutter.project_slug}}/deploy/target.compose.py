"""Docker Compose on a host over SSH: a new version starts beside the old and then takes over.

There are two slots, `blue` and `green`, of which one answers: green where there is a file
`active/green`. The proxy looks for it at every request (see Caddyfile), so nothing is restarted or
reloaded when they change places.
"""

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from .image import explain
from .settings import Settings
from .shell import DeployError, need, run, say

FILES = (
    "compose.yaml",
    "Caddyfile",
    "observability/prometheus.yml",
    "observability/alerts.yml",
)
SLOTS = ("blue", "green")
DRAIN_SECONDS = 2  # between the last request that is sent to a slot and its end


class Host:
    """The folder on the host, and commands in it."""

    def __init__(self, settings: Settings, options: list[str]) -> None:
        self._options = [*options, "-p", str(settings.deploy_port), settings.deploy_host]
        self._path = settings.deploy_path

    def run(self, command: str, stdin: str = "") -> str:
        """Run a line of shell in the folder and give what it prints."""
        line = f"mkdir -p {shlex.quote(self._path)} && cd {shlex.quote(self._path)} && {command}"
        return run("ssh", *self._options, line, stdin=stdin)

    def compose(self, command: str) -> str:
        """Run a command of `docker compose`."""
        return self.run(f"docker compose {command} 2>&1")

    def write(self, name: str, text: str) -> None:
        """Replace a file as a whole, so that nobody reads half of it."""
        folder = Path(name).parent.as_posix()
        self.run(f"mkdir -p {folder} && cat > {name}.new && mv {name}.new {name}", text)

    def images(self) -> dict[str, str]:
        """The image of each slot that has had one."""
        lines = self.run("cat .env 2>/dev/null || true").splitlines()
        values = dict(line.partition("=")[::2] for line in lines)
        return {slot: values[key] for slot in SLOTS if (key := f"{slot.upper()}_IMAGE") in values}

    def write_images(self, images: dict[str, str]) -> None:
        """Keep the image of each slot where compose reads it; other lines of `.env` stay."""
        keys = {f"{slot.upper()}_IMAGE": image for slot, image in images.items()}
        lines = self.run("cat .env 2>/dev/null || true").splitlines()
        others = [line for line in lines if line.partition("=")[0] not in keys]
        self.write(".env", "\n".join([*others, *(f"{k}={v}" for k, v in keys.items())]) + "\n")

    def active(self) -> str | None:
        """The slot that answers, if one does."""
        files = self.run("mkdir -p active && ls active").split()
        return max(files, default=None)  # blue stays marked under green

    def switch(self, slot: str) -> None:
        """Let the proxy send the next request to this slot."""
        change = {"blue": "touch active/blue && rm -f active/green", "green": "touch active/green"}
        self.run(change[slot])


def deploy(image: str, settings: Settings) -> str:
    """Start `image` in the idle slot; once it is ready, let it take over.

    Raises:
        DeployError: it did not get ready; what answered before goes on doing so.
    """
    with connected(settings) as host:
        for name in FILES:
            host.write(name, Path("deploy", name).read_text(encoding="utf-8"))
        if settings.registry_user:
            registry, _, _ = settings.repository.partition("/")
            login = f"docker login -u {shlex.quote(settings.registry_user)} --password-stdin"
            host.run(f"{login} {registry}", settings.registry_password.get_secret_value())
        active = host.active()
        idle = _other(active)
        before = host.images()
        host.write_images(before | {idle: image})
        try:
            host.compose(f"pull --quiet {idle}")
            _take_over(host, idle, active, settings.deploy_timeout)
        except DeployError:
            if idle in before:
                host.write_images(before)
            raise
    return f"{image} answers on {settings.deploy_host} from the slot {idle}."


def rollback(settings: Settings) -> str:
    """Let the version before the present one take over again."""
    with connected(settings) as host:
        active = host.active()
        idle = _other(active)
        images = host.images()
        if active is None or idle not in images:
            raise DeployError(f"There is no earlier version on {settings.deploy_host}.")
        _take_over(host, idle, active, settings.deploy_timeout)
    return f"{images[idle]} answers again on {settings.deploy_host} from the slot {idle}."


def _take_over(host: Host, new: str, old: str | None, timeout: float) -> None:
    """Start one slot, send the requests there once it is healthy, and stop the other."""
    host.compose(f"up -d --no-deps proxy {new}")
    try:
        _wait_until_healthy(host, new, timeout)
    except DeployError as error:
        host.compose(f"stop {new}")
        stays = f"{host.images()[old]} answers as before" if old else "nothing was there before"
        raise DeployError(f"Rolled back, {stays}: {error}") from None
    host.switch(new)
    if old:
        time.sleep(DRAIN_SECONDS)
        host.compose(f"stop {old}")


def _wait_until_healthy(host: Host, slot: str, timeout: float) -> None:
    start = time.monotonic()
    while True:
        inspect = f"docker inspect --format '{{{{json .State}}}}' $(docker compose ps -q {slot})"
        state = json.loads(host.run(inspect))
        if state["Health"]["Status"] == "healthy":
            return
        waited = time.monotonic() - start
        if state["Health"]["Status"] == "unhealthy" or waited > timeout:
            logs = host.compose(f"logs --tail=8 --no-color {slot}")
            why = explain(state, logs)
            raise DeployError(f"the new version did not get ready in {waited:.0f} s. {why}")
        say(f"waiting for {slot} to be healthy …")
        time.sleep(1)


def _other(slot: str | None) -> str:
    return "green" if slot == "blue" else "blue"


@contextmanager
def connected(settings: Settings) -> Iterator[Host]:
    """The host, reached with the given key or else with the user's own."""
    need("ssh", "OpenSSH's client")
    if not settings.deploy_host:
        raise DeployError("DEPLOY_HOST is not set: it has to be user@host, reachable over SSH.")
    with TemporaryDirectory() as folder:
        options = ["-o", "BatchMode=yes"]
        if key := settings.deploy_ssh_key.get_secret_value():
            file = Path(folder, "key")
            file.touch(mode=0o600)
            file.write_text(key.rstrip() + "\n", encoding="utf-8")
            options += ["-i", str(file)]
        if settings.deploy_known_hosts:
            file = Path(folder, "known_hosts")
            file.write_text(settings.deploy_known_hosts.rstrip() + "\n", encoding="utf-8")
            options += ["-o", f"UserKnownHostsFile={file}"]
        yield Host(settings, options)
