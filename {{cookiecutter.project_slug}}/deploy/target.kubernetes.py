"""Kubernetes by kubectl: the manifests of an overlay, with the image by digest."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from .settings import NAME, Settings
from .shell import DeployError, need, run, say

OVERLAYS = Path("deploy/kubernetes/overlays")


class Cluster:
    """kubectl with the given kubeconfig or else the user's own, in the overlay's namespace."""

    def __init__(self, options: list[str]) -> None:
        self._kubectl = ["kubectl", *options]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of kubectl and give what it prints."""
        return run(*self._kubectl, *arguments, stdin=stdin)

    def becomes_ready(self, timeout: float) -> bool:
        """Wait for the newest rollout, and say whether it was completed."""
        command = ["rollout", "status", f"deployment/{NAME}", f"--timeout={timeout:.0f}s"]
        return subprocess.run([*self._kubectl, *command]).returncode == 0


def deploy(image: str, settings: Settings) -> str:
    """Apply the overlay with `image`; where its pods do not get ready, go back.

    Raises:
        DeployError: it was rolled back; the pods from before have answered all along.
    """
    with connected(settings) as cluster:
        cluster.run("apply", "--filename=-", stdin=manifests(image, settings.deploy_overlay))
        if not cluster.becomes_ready(settings.deploy_timeout):
            selector = f"--selector=app.kubernetes.io/name={NAME}"
            say(cluster.run("logs", selector, "--tail=8", "--prefix", "--ignore-errors"))
            cluster.run("rollout", "undo", f"deployment/{NAME}")
            seconds = f"{settings.deploy_timeout:g} s"
            raise DeployError(f"Rolled back: {image} did not get ready in {seconds}.")
    return f"{image} answers in the overlay {settings.deploy_overlay}."


def rollback(settings: Settings) -> str:
    """Let the version before the present one take over again."""
    with connected(settings) as cluster:
        cluster.run("rollout", "undo", f"deployment/{NAME}")
        if not cluster.becomes_ready(settings.deploy_timeout):
            raise DeployError("The version before does not get ready either: see `kubectl logs`.")
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
    need("kubectl", "kubectl, https://kubernetes.io/docs/tasks/tools")
    overlay = settings.deploy_overlay
    if not (OVERLAYS / overlay).is_dir():
        raise DeployError(f"DEPLOY_OVERLAY={overlay}: there is no such folder in {OVERLAYS}.")
    with TemporaryDirectory() as folder:
        options = [f"--namespace={_namespace(overlay)}"]
        if config := settings.kube_config.get_secret_value():
            file = Path(folder, "config")
            file.touch(mode=0o600)
            file.write_text(config, encoding="utf-8")
            options.append(f"--kubeconfig={file}")
        yield Cluster(options)
