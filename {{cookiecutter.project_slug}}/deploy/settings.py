"""What differs between deployments, from environment variables (`DEPLOY_HOST=me@example.com …`)."""

import tomllib
from pathlib import Path

from pydantic import PositiveFloat, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
NAME: str = PROJECT["project"]["name"]
VERSION: str = PROJECT["project"]["version"]
PACKAGE: str = PROJECT["tool"]["uv"]["build-backend"]["module-name"]


class Settings(BaseSettings):
    """Where images go and where they run. The variable's name is the field's, in capitals."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    image: str = ""  # what to deploy, by digest; if empty, the image that was pushed last from here
    registry: str = "localhost:5000"  # the part of an image's name in front of the project's
    registry_user: str = ""  # if empty, docker's own login counts
    registry_password: SecretStr = SecretStr("")

    deploy_host: str = ""  # user@host
    deploy_port: int = 22  # of the host's SSH server
    deploy_path: str = NAME  # the folder on the host
    deploy_ssh_key: SecretStr = SecretStr("")  # the private key itself; if empty, those of ~/.ssh
    deploy_known_hosts: str = ""  # lines of a known_hosts file; if empty, those of ~/.ssh
    deploy_timeout: PositiveFloat = 90  # seconds in which a new version has to become ready
    deploy_overlay: str = "production"  # which of the overlays for Kubernetes
    kube_config: SecretStr = SecretStr("")  # a kubeconfig itself; if empty, the user's own

    @property
    def repository(self) -> str:
        """The image's name without tag or digest."""
        return f"{self.registry}/{NAME}".lower()
