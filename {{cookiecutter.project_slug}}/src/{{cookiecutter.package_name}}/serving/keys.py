"""API keys: who may call, what, and how often.

    python -m <package>.serving.keys create NAME --scope predict --scope feedback --rate 50
    python -m <package>.serving.keys revoke NAME
    python -m <package>.serving.keys list

The file holds hashes only. A key is 256 random bits, which no one can guess, so that one round of
SHA-256 protects it as well as a slow password hash would.
"""

import argparse
import hashlib
import hmac
import json
import math
import mmap
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from ..errors import UserError
from ..files import write_json
from .settings import Settings

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
RELOAD_SECONDS = 1.0
NUM_SLOTS = 2**20  # so many that two keys hardly ever share one
ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True)
class ApiKey:
    """A key as the file has it. sha256: of the whole key, in hex. rate: requests per second."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    rate: float
    created: str


class KeyFile:
    """The keys of a JSON file, read again when it changes: a revoked key ends within a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, ApiKey] = {}
        self._version: float | None = None
        self._checked = -RELOAD_SECONDS

    def find(self, token: str) -> ApiKey | None:
        """The key that `token` is, compared in constant time; None for any other text."""
        key = self.load().get(token.partition(".")[0])
        digest = hashlib.sha256(token.encode()).hexdigest()
        return key if key and hmac.compare_digest(key.sha256, digest) else None

    def load(self) -> dict[str, ApiKey]:
        """All keys by name."""
        now = time.monotonic()
        if now - self._checked >= RELOAD_SECONDS:
            self._checked = now
            version = self.path.stat().st_mtime if self.path.exists() else None
            if version != self._version:
                self._keys, self._version = _read(self.path), version
        return self._keys

    def create(self, name: str, scopes: tuple[str, ...], rate: float) -> str:
        """Add a key and give its text, which is not stored and cannot be had again.

        Raises:
            UserError: there is a key of this name, the name has other characters than allowed, or
                the rate allows nothing.
        """
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise UserError(f"{name!r} is not a name for a key: use A to Z, a to z, digits and -")
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"{rate:g} requests per second is no rate: it has to be more than 0")
        if name in self.load():
            raise UserError(f"there is a key named {name} already: revoke it, or choose another")
        token = f"{name}.{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(self.load() | {name: ApiKey(name, digest, scopes, rate, created)})
        return token

    def revoke(self, name: str) -> None:
        """Remove a key.

        Raises:
            UserError: there is none of this name.
        """
        if name not in self.load():
            raise UserError(f"there is no key named {name}")
        self._write({other: key for other, key in self.load().items() if other != name})

    def _write(self, keys: dict[str, ApiKey]) -> None:
        write_json(self.path, [asdict(key) for key in keys.values()])
        self._keys = keys


def _read(path: Path) -> dict[str, ApiKey]:
    if not path.exists():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {e["name"]: ApiKey(**(e | {"scopes": tuple(e["scopes"])})) for e in entries}


class RateLimiter:
    """How often each key may ask; as many requests as a second allows may come at once.

    This is the generic cell rate algorithm (ITU-T I.371): all it keeps of a key is the time at
    which nothing would be left of what it has asked for, were it to stop. These numbers are in a
    file, which all workers share. Two that look at one in the same moment may let a request too
    many through; a lock would cost every request more than that is worth.

    file: made where there is none; without a name for it, the numbers are this process's alone.
    """

    def __init__(self, file: Path | None) -> None:
        size = 8 * NUM_SLOTS
        if file is None:
            shared = mmap.mmap(-1, size)
        else:
            with file.open("a+b") as opened:
                opened.truncate(size)
                shared = mmap.mmap(opened.fileno(), size)
        self._free_at = memoryview(shared).cast("d")  # monotonic, in seconds

    def wait_seconds(self, key: ApiKey) -> float:
        """Take one request from what the key may ask for; how long to wait where it is too much."""
        slot = int(key.sha256[:8], 16) % NUM_SLOTS
        now = time.monotonic()
        free_at = max(self._free_at[slot], now)
        wait = free_at - now - max(key.rate - 1, 0) / key.rate
        if wait > ROUNDING_SECONDS:
            return wait
        self._free_at[slot] = free_at + 1 / key.rate
        return 0.0


def main() -> None:
    """Make, revoke and list keys in the file that `API_KEYS_FILE` names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("name")
    create.add_argument("--scope", action="append", choices=SCOPES, dest="scopes")
    create.add_argument("--rate", type=float, default=100.0, help="requests per second")
    commands.add_parser("revoke", help="end a key").add_argument("name")
    commands.add_parser("list", help="show all keys, without their secrets")
    arguments = parser.parse_args()
    keys = KeyFile(Settings().api_keys_file)
    try:
        if arguments.command == "create":
            scopes = tuple(arguments.scopes or ["predict", "feedback"])
            print(keys.create(arguments.name, scopes, arguments.rate))
        elif arguments.command == "revoke":
            keys.revoke(arguments.name)
        else:
            for key in keys.load().values():
                print(f"{key.name}  {','.join(key.scopes)}  {key.rate:g}/s  since {key.created}")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
