"""A PostgreSQL server of the tests' own, on a socket in a folder, from whatever is installed."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """The folder with PostgreSQL's programs; Debian does not put it on PATH."""
    on_path = shutil.which("pg_ctl")
    if on_path:
        return Path(on_path).resolve().parent
    found = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    return newest and newest.parent


@contextlib.contextmanager
def server(bin_folder: Path) -> Iterator[str]:
    """Run a server as long as the block lasts; gives the URL of a database."""
    # A socket's path may have a hundred letters, and another user has to get at this one.
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        user = NOBODY if os.getuid() == 0 else None
        if user:
            os.chown(name, user, user)

        def run(program: str, *options: str) -> None:
            subprocess.run(
                [bin_folder / program, f"--pgdata={name}/data", *options],
                cwd=name,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                check=True,
                stdout=subprocess.DEVNULL,
            )

        run("initdb", "--auth=trust", "--username=test", "--no-sync")
        options = f"--options=-c listen_addresses= -c fsync=off -k {name}"
        run("pg_ctl", f"--log={name}/log", "--wait", options, "start")
        try:
            yield f"postgresql+psycopg://test@/postgres?host={name}"
        finally:
            run("pg_ctl", "--mode=immediate", "stop")
