"""Throughput and latency of the service for 1 to 256 connections: `make bench`.

Starts the service as it is set, sends it one picture over and over, and writes a table and a plot
to build/bench/. The client runs on the same machine and takes its share of it.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httptools
import httpx
import matplotlib.pyplot as plt
import numpy as np

from ..files import encode_png
from ..metadata import ModelMetadata
from .settings import Settings, num_cores

OUTPUT = Path("build/bench")
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WARM_UP_SECONDS = 1.0
SECONDS = 4.0


@dataclass
class Answers:
    """What came back: the seconds of each prediction, and how many were refused."""

    seconds: list[float] = field(default_factory=list)
    num_refused: int = 0


class Row(NamedTuple):
    """A line of the table: rates per second, latencies in milliseconds."""

    connections: int
    rate: float
    p50: float
    p99: float
    refused: float


class Connection(asyncio.Protocol):
    """Sends the same request again as soon as it has the answer to the last."""

    def __init__(self, request: bytes, answers: Answers) -> None:
        self.request = request
        self.answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() == 200:
            self.answers.seconds.append(time.perf_counter() - self.start)
        else:
            self.answers.num_refused += 1
        self._send()

    def _send(self) -> None:
        self.start = time.perf_counter()
        self.transport.write(self.request)


async def measure(port: int, request: bytes, num_connections: int) -> Answers:
    """All answers within `SECONDS`, to so many connections at a time."""
    answers = Answers()
    loop = asyncio.get_running_loop()
    transports = []
    for _ in range(num_connections):
        transport, _ = await loop.create_connection(
            lambda: Connection(request, answers), "127.0.0.1", port
        )
        transports.append(transport)
    await asyncio.sleep(WARM_UP_SECONDS)
    num_before, refused_before = len(answers.seconds), answers.num_refused
    await asyncio.sleep(SECONDS)
    result = Answers(answers.seconds[num_before:], answers.num_refused - refused_before)
    for transport in transports:
        transport.abort()
    return result


def make_request(model_dir: Path) -> bytes:
    """A prediction's request, with a random picture of the size that the model takes."""
    image = ModelMetadata.load(model_dir).image
    body = encode_png(np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8))
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Measure, and write build/bench/serving.md and serving.svg."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    try:
        request = make_request(Settings().model_dir)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} not found: run the pipeline first, with `make repro`")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, (OUTPUT / "service.log").open("w") as log:
        settings = {
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "ENVIRONMENT": "development",  # no key is needed
        }
        command = [sys.executable, "-m", __package__]
        service = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
        try:
            _wait_until_ready(port)
            for number in CONNECTIONS:
                rows.append(_row(number, asyncio.run(measure(port, request, number))))
        finally:
            service.terminate()
            service.wait()
    table = _table(rows)
    (OUTPUT / "serving.md").write_text(table, encoding="utf-8")
    _plot(rows)
    print(table, end="")


def _wait_until_ready(port: int) -> None:
    transport = httpx.HTTPTransport(retries=8)  # with growing pauses, a minute in all
    with httpx.Client(transport=transport) as client:
        client.get(f"http://127.0.0.1:{port}/readyz").raise_for_status()


def _row(num_connections: int, answers: Answers) -> Row:
    p50, p99 = 1000 * np.percentile(answers.seconds, [50, 99])
    rate = len(answers.seconds) / SECONDS
    return Row(num_connections, rate, float(p50), float(p99), answers.num_refused / SECONDS)


def _table(rows: list[Row]) -> str:
    lines = [
        f"{num_cores()} cores, {Settings().num_workers} workers; client on the same machine",
        "",
        "| connections | predictions/s | p50 ms | p99 ms | refused/s |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {r.connections} | {r.rate:,.0f} | {r.p50:.2f} | {r.p99:.2f} | {r.refused:,.0f} |"
            for r in rows
        ),
    ]
    return "\n".join(lines) + "\n"


def _plot(rows: list[Row]) -> None:
    numbers, rates, p50s, p99s, _ = zip(*rows, strict=True)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.plot(rates, p99s, "o-", color="#4f46e5", label="p99")
    axes.plot(rates, p50s, "o-", color="#a5a1f5", label="p50")
    for number, rate, p99 in zip(numbers, rates, p99s, strict=True):
        axes.annotate(str(number), (rate, p99), xytext=(0, 7), textcoords="offset points")
    axes.set(xlabel="predictions per second", ylabel="latency in ms", yscale="log", xlim=(0, None))
    axes.set_title("Latency by load; the numbers are connections", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(OUTPUT / "serving.svg")


if __name__ == "__main__":
    main()
