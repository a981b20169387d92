"""Kubernetes by kubectl: the manifests of an overlay, with the image by digest."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from .settings import NAME, Settings
from .shell import DeployError, run, write_private

OVERLAYS = Path("deploy/kubernetes/overlays")


class Cluster:
    """kubectl with the given kubeconfig or else the user's own, in the overlay's namespace."""

    def __init__(self, options: list[str]) -> None:
        self._kubectl = ["kubectl", *options]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of kubectl and return what it prints."""
        return run(*self._kubectl, *arguments, stdin=stdin)

    def becomes_ready(self, timeout: float) -> bool:
        """Wait for the newest rollout; return whether it was completed."""
        command = ["rollout", "status", f"deployment/{NAME}", f"--timeout={timeout:.0f}s"]
        return subprocess.run([*self._kubectl, *command]).returncode == 0


def deploy(image: str, settings: Settings) -> str:
    """Apply the overlay with `image`; where its pods do not become ready, go back.

    Raises:
        DeployError: it was rolled back; the pods from before have answered all along.
    """
    with connected(settings) as cluster:
        cluster.run("apply", "--filename=-", stdin=manifests(image, settings.deploy_overlay))
        if not cluster.becomes_ready(settings.deploy_timeout):
            selector = f"--selector=app.kubernetes.io/name={NAME}"
            log = cluster.run("logs", selector, "--tail=8", "--prefix", "--ignore-errors")
            print(log, file=sys.stderr, flush=True)
            failure = f"{image} did not become ready in {settings.deploy_timeout:g} s"
            try:
                cluster.run("rollout", "undo", f"deployment/{NAME}")
            except DeployError:  # the only revision
                reason = "there is no version before it to go back to"
                raise DeployError(f"{failure}, and {reason}.") from None
            raise DeployError(f"Rolled back: {failure}.")
    return f"{image} answers in the overlay {settings.deploy_overlay}."


def rollback(settings: Settings) -> str:
    """Let the version before the present one take over again."""
    with connected(settings) as cluster:
        cluster.run("rollout", "undo", f"deployment/{NAME}")
        if not cluster.becomes_ready(settings.deploy_timeout):
            raise DeployError("The version before is not ready either: see `kubectl logs`.")
    return f"The version before answers again in the overlay {settings.deploy_overlay}."


def manifests(image: str, overlay: str) -> str:
    """All manifests of an overlay as YAML, with the image by digest in them."""
    name, _, digest = image.partition("@")
    with TemporaryDirectory(dir=OVERLAYS) as folder:  # kustomize reads only beside and below
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"../{overlay}"],
            "images": [{"name": NAME, "newName": name, "digest": digest}],
        }
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
        return run("kubectl", "kustomize", folder)


def _namespace(overlay: str) -> str:
    text = (OVERLAYS / overlay / "kustomization.yaml").read_text(encoding="utf-8")
    return str(yaml.safe_load(text)["namespace"])


@contextmanager
def connected(settings: Settings) -> Iterator[Cluster]:
    """The cluster, reached with the given kubeconfig or else with the user's own."""
    overlay = settings.deploy_overlay
    if not (OVERLAYS / overlay).is_dir():
        raise DeployError(f"DEPLOY_OVERLAY={overlay}: there is no such folder in {OVERLAYS}.")
    with TemporaryDirectory() as folder:
        options = [f"--namespace={_namespace(overlay)}"]
        if config := settings.kube_config.get_secret_value():
            options.append(f"--kubeconfig={write_private(Path(folder, 'config'), config)}")
        yield Cluster(options)
