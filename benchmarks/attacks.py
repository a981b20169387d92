"""All attacks on the service at once, in a container of 512 MB, beside another key's requests.

    uv run python -m benchmarks.attacks

Wants a Docker engine. The container has the limits and the protections of deploy/compose.yaml. All
requests come from this machine, for a minute.
"""

import contextlib
import io
import json
import multiprocessing
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import httpx
import numpy as np
from PIL import Image

from tests.pictures import png

from .project import generated, measure
from .report import write

SECONDS = 60
RECOVERY_SECONDS = 10
REQUESTS_PER_SECOND = 20
NUM_ENDLESS_UPLOADS = 60
LIMITS = ["--memory=512m", "--memory-swap=512m", "--cpus=2", "--pids-limit=256"]
HARDENED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
MB = 1_000_000
PAUSE_SECONDS = 0.05  # between two attacks of one kind

Attack = Callable[[tuple[str, int], str], int]


def main() -> None:
    with generated() as project:
        measure(project, "make", "repro")
        image = measure(project, "make", "image").output.split()[-1]
        with container(image) as name:
            rows = measure_attacks(name)
    write(
        "attacks",
        f"{SECONDS} s of all attacks at once, and another key's requests",
        "python -m benchmarks.attacks",
        ["", "result"],
        rows,
    )


@contextlib.contextmanager
def container(image: str) -> Iterator[str]:
    """The service as production runs it; gives the container's name."""
    publish = "--publish=127.0.0.1::8000"
    name = _docker("run", "--detach", *LIMITS, *HARDENED, publish, image)
    try:
        yield name
    finally:
        _docker("rm", "--force", "--volumes", name)


def measure_attacks(container: str) -> list[list[str]]:
    """Attack the service for a minute, and count another key's responses."""
    host, _, port = _docker("port", container, "8000").splitlines()[0].rpartition(":")
    address = host, int(port)
    url = f"http://{host}:{port}"
    ours, theirs = _create_key(container, "ours"), _create_key(container, "theirs")
    _wait_until_ready(url)
    # In a process of its own, whose clock does not wait for the attackers' interpreter.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        alone, _ = other.submit(ask, url, ours, seconds=10).result()
        before = memory_mb(container)
        done, results = threading.Event(), Counter[str]()
        threads = [
            threading.Thread(target=_repeat, args=(attack, address, theirs, done, results))
            for attack in ATTACKS
        ]
        watched = [before]
        threads.append(threading.Thread(target=_watch_memory, args=(container, done, watched)))
        for thread in threads:
            thread.start()
        latencies, statuses = other.submit(ask, url, ours, SECONDS).result()
        done.set()
        for thread in threads:
            thread.join()
    time.sleep(RECOVERY_SECONDS)  # what is measured is how much is left after them
    after = memory_mb(container)
    state = json.loads(_docker("inspect", "--format={{json .State}}", container))
    share = statuses["200"] / sum(statuses.values())
    return [
        ["another key's requests", f"{sum(statuses.values())}"],
        ["answered with 200", f"{share:.1%}"],
        ["p99 without attacks, ms", f"{1000 * np.quantile(alone, 0.99):.0f}"],
        ["p99 under attack, ms", f"{1000 * np.quantile(latencies, 0.99):.0f}"],
        ["memory before, MB", f"{before:.0f}"],
        ["largest memory, MB", f"{max(watched):.0f}"],
        [f"memory {RECOVERY_SECONDS} s after, MB", f"{after:.0f}"],
        ["restarts", str(int(not state["Running"] or state["OOMKilled"]))],
        *([f"attack: {name}", str(number)] for name, number in sorted(results.items())),
    ]


def json_without_key(address: tuple[str, int], key: str) -> int:
    """Nine megabytes of JSON as feedback, without a key."""
    body = b'{"label": "' + bytes([97]) * 9 * MB + b'"}'
    return _send(address, _head("/v1/feedback", len(body), "application/json"), body)


def endless_head(address: tuple[str, int], key: str) -> int:
    """A header of 70 MB, without a key."""
    return _send(address, b"GET / HTTP/1.1\r\nHost: a\r\nX: ", bytes([97]) * 70 * MB)


def slow_jpeg(address: tuple[str, int], key: str) -> int:
    """A progressive JPEG with thousands of scans."""
    body = _many_scans(num_scans=20_000)
    return _send(address, _head("/v1/predict", len(body), "image/jpeg", key), body)


def small_slow_jpeg(address: tuple[str, int], key: str) -> int:
    """The same in 30 kB, which is decoded on the event loop."""
    body = _many_scans(num_scans=2_500)
    return _send(address, _head("/v1/predict", len(body), "image/jpeg", key), body)


def abandoned(address: tuple[str, int], key: str) -> int:
    """The largest image that is allowed, from a client that does not wait for the response."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(_head("/v1/predict", len(LARGE), "image/png", key) + LARGE)
        time.sleep(PAUSE_SECONDS)
    return 0


def endless_uploads(address: tuple[str, int], key: str) -> int:
    """Many bodies of 9 MB whose last byte never comes."""
    with contextlib.ExitStack() as stack:
        for _ in range(NUM_ENDLESS_UPLOADS):
            connection = stack.enter_context(socket.create_connection(address, timeout=10))
            with contextlib.suppress(OSError):
                connection.sendall(_head("/v1/predict", 9 * MB, "image/png", key))
                connection.sendall(bytes(9 * MB - 1))
        time.sleep(5)
    return 0


ATTACKS: tuple[Attack, ...] = (
    json_without_key,
    endless_head,
    slow_jpeg,
    small_slow_jpeg,
    abandoned,
    endless_uploads,
)


def memory_mb(container: str) -> float:
    """Memory of the container as Docker counts it."""
    text = _docker("stats", "--no-stream", "--format={{.MemUsage}}", container)
    number, unit = text.split(" ")[0][:-3], text.split(" ")[0][-3:]
    return float(number) * {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit] / MB


def ask(url: str, key: str, seconds: float) -> tuple[list[float], Counter[str]]:
    """Send small images at a constant rate; return latencies in seconds, and statuses."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/png"}
    digit = png(np.random.default_rng(0).integers(0, 255, (1, 8, 8), dtype=np.uint8))
    latencies, statuses = [], Counter[str]()
    with httpx.Client(base_url=url, headers=headers, timeout=10) as client:
        start = time.monotonic()
        for i in range(round(seconds * REQUESTS_PER_SECOND)):
            due = start + i / REQUESTS_PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                status = str(client.post("/v1/predict", content=digit).status_code)
            except httpx.HTTPError as error:
                status = type(error).__name__
            latencies.append(time.monotonic() - due)
            statuses[status] += 1
    return latencies, statuses


def _repeat(
    attack: Attack, address: tuple[str, int], key: str, done: threading.Event, results: Counter[str]
) -> None:
    while not done.wait(PAUSE_SECONDS):
        try:
            answer = str(attack(address, key) or "closed")
        except OSError as error:
            answer = type(error).__name__
        results[f"{attack.__name__}, {answer}"] += 1


def _watch_memory(container: str, done: threading.Event, watched: list[float]) -> None:
    while not done.is_set():
        watched.append(memory_mb(container))


def _head(path: str, length: int, media_type: str, key: str | None = None) -> bytes:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\n"
        f"{authorization}Content-Length: {length}\r\n\r\n"
    ).encode()


def _send(address: tuple[str, int], head: bytes, body: bytes) -> int:
    """Send a request over a connection of its own; return its response's status, 0 for none."""
    with socket.create_connection(address, timeout=30) as connection:
        with contextlib.suppress(OSError):  # the server answers and closes before it has all
            connection.sendall(head)
            connection.sendall(body)
        answer = connection.recv(64)
    return int(answer.split(b" ")[1]) if answer else 0


def _many_scans(num_scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    file = io.BytesIO()
    Image.new("L", (500, 500)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * num_scans + data[end:]


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError("the service does not become ready")


def _create_key(container: str, name: str) -> str:
    package = "my_project.serving.keys"
    options = ["--permission", "predict", "--rate", "1000"]
    output = _docker("exec", container, "python", "-m", package, "create", name, *options)
    return output.split()[-1]


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, check=True, encoding="utf-8")
    return done.stdout.strip()


LARGE = png(16 * np.random.default_rng(0).integers(0, 16, (1, 4000, 4000), dtype=np.uint8))

if __name__ == "__main__":
    main()
