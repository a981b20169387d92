"""API keys: who may call, what, and how often.

    python -m <package>.serving.keys create NAME --permission predict --rate 50
    python -m <package>.serving.keys revoke NAME
    python -m <package>.serving.keys list

The file holds hashes only. A key is 256 random bits, which no one can guess, so that one round of
SHA-256 protects it as well as a slow password hash would.
"""

import argparse
import hashlib
import hmac
import json
import logging
import math
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock

from ..errors import UserError
from ..files import write_json
from ..stages._main import run_main
from .settings import Settings

Permission = Literal["predict", "feedback", "admin"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
RELOAD_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiKey:
    """A key as the file has it. sha256: of the whole key, in hex. rate: requests per second."""

    name: str
    sha256: str
    permissions: tuple[str, ...]
    rate: float
    created: str


class KeyFile:
    """The API keys in a JSON file, changed by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))

    def read(self) -> dict[str, ApiKey]:
        """All keys by name; none if there is no file.

        Raises:
            UserError: the file is not what `create` writes.
        """
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            return {e["name"]: ApiKey(**e | {"permissions": (*e["permissions"],)}) for e in entries}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self.path} cannot be read: {error!r}") from None

    def create(self, name: str, permissions: tuple[str, ...], rate: float) -> str:
        """Add a key.

        Returns:
            Its text, which is not stored and cannot be had again.

        Raises:
            UserError: there is a key of this name, the name has other characters than allowed, or
                the rate allows nothing.
        """
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise UserError(f"{name!r} is not a name for a key: use A to Z, a to z, digits and -")
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"{rate:g} requests per second is no rate: it has to be more than 0")
        token = f"{name}.{secrets.token_urlsafe(32)}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            keys = self.read()
            if name in keys:
                raise UserError(f"the key {name} exists: revoke it, or choose another name")
            self._write(keys | {name: ApiKey(name, _digest(token), permissions, rate, created)})
        return token

    def revoke(self, name: str) -> None:
        """Remove a key.

        Raises:
            UserError: there is none of this name.
        """
        with self._lock:
            keys = self.read()
            if name not in keys:
                raise UserError(f"there is no key named {name}")
            left = {other: key for other, key in keys.items() if other != name}
            try:
                self._write(left)
            except OSError:  # a full disk: a file that gets shorter has room in its own place
                text = json.dumps([asdict(key) for key in left.values()])
                with self.path.open("r+", encoding="utf-8") as file:
                    file.write(text)
                    file.truncate()

    def _write(self, keys: dict[str, ApiKey]) -> None:
        write_json(self.path, [asdict(key) for key in keys.values()])


class KeyRing:
    """The keys as the service knows them: read again at a change, so that a revoked one ends.

    problem: what is wrong with the file; empty if nothing is.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self._file = KeyFile(path)
        self._keys: dict[str, ApiKey] = {}
        self._content: bytes | None = None
        self._next_check = 0.0

    def find(self, token: str) -> ApiKey | None:
        """The key that `token` is, compared in constant time; None for any other text."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + RELOAD_SECONDS
            self._reload()
        key = self._keys.get(token.partition(".")[0])
        return key if key and hmac.compare_digest(key.sha256, _digest(token)) else None

    def _reload(self) -> None:
        """Read a file that has changed; of one that is broken, the keys before stay valid."""
        path = self._file.path
        try:
            # By its content: a new file may have the old one's time, size and even inode.
            content = path.read_bytes() if path.exists() else b""
            if content != self._content:
                self._keys = self._file.read()
                self._content, self.problem = content, ""
        except (UserError, OSError) as error:
            problem = f"the API keys stay as they were: {error}"
            if problem != self.problem:
                logger.error(problem)
            self._content, self.problem = None, problem


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def main() -> None:
    """Make, revoke and list keys in the file that `API_KEYS_FILE` names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("name")
    create.add_argument("--permission", action="append", choices=PERMISSIONS, dest="permissions")
    create.add_argument("--rate", type=float, default=100.0, help="requests per second")
    commands.add_parser("revoke", help="end a key").add_argument("name")
    commands.add_parser("list", help="show all keys, without their secrets")
    arguments = parser.parse_args()
    keys = KeyFile(Settings().api_keys_file)
    if arguments.command == "create":
        permissions = tuple(arguments.permissions or ["predict", "feedback"])
        print(keys.create(arguments.name, permissions, arguments.rate))
    elif arguments.command == "revoke":
        keys.revoke(arguments.name)
    else:
        for key in keys.read().values():
            print(f"{key.name}  {','.join(key.permissions)}  {key.rate:g}/s  since {key.created}")


if __name__ == "__main__":
    run_main(main)
