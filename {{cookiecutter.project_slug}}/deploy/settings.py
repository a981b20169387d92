"""What differs between deployments, from environment variables (`DEPLOY_HOST=me@example.com …`)."""

import tomllib
from pathlib import Path

from pydantic import PositiveFloat, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME: str = PROJECT["name"]
VERSION: str = PROJECT["version"]


class Settings(BaseSettings):
    """Where images go and where they run. The variable's name is the field's, in capitals.

    image: what to deploy, by digest; if empty, what was pushed last from here.
    registry: the part of an image's name in front of the project's. registry_user,
        registry_password: for reading and writing there; without them, docker's own login counts.
    deploy_host: `user@host`. deploy_port: of its SSH server. deploy_path: the folder there.
    deploy_ssh_key, deploy_known_hosts: contents of the files; if empty, those of ~/.ssh.
    deploy_timeout: seconds that a new version has to become ready.
    deploy_overlay: which of the overlays for Kubernetes. kube_config: contents of a kubeconfig; if
        empty, the user's own.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    image: str = ""
    registry: str = "localhost:5000"
    registry_user: str = ""
    registry_password: SecretStr = SecretStr("")

    deploy_host: str = ""
    deploy_port: int = 22
    deploy_path: str = NAME
    deploy_ssh_key: SecretStr = SecretStr("")
    deploy_known_hosts: str = ""
    deploy_timeout: PositiveFloat = 90
    deploy_overlay: str = "production"
    kube_config: SecretStr = SecretStr("")

    @property
    def repository(self) -> str:
        """The image's name without tag or digest."""
        return f"{self.registry}/{NAME}".lower()
