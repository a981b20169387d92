"""Throughput and latency of the service for 1 to 256 connections: `make bench`.

Starts the service as it is set, lets wrk (https://github.com/wg/wrk) send it one image over and
over, and writes a table and a plot to build/bench/. wrk runs on the same machine and takes its
share of it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import matplotlib.pyplot as plt
import numpy as np

from ..cores import num_cores
from ..files import encode_png, write_json
from ..metadata import ModelMetadata
from ..serving.settings import Settings

OUTPUT = Path("build/bench")
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = 4
# Posts the file IMAGE, and prints what came back as JSON; wrk counts every 4xx and 5xx as `status`.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "image/png"
wrk.body = io.open(os.getenv("IMAGE"), "rb"):read("*a")
function done(summary, latency)
  local seconds, refused = summary.duration / 1e6, summary.errors.status
  io.write(string.format('{"rate": %f, "p50": %f, "p99": %f, "refused": %f}\\n',
    (summary.requests - refused) / seconds, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, refused / seconds))
end
"""

Row = dict[str, float]


def main() -> None:
    """Measure, and write build/bench/serving.md, serving.json and serving.svg."""
    if shutil.which("wrk") is None:
        sys.exit("error: make bench needs wrk (Debian and Homebrew: the package wrk)")
    try:
        spec = ModelMetadata.load(Settings().model_dir).image
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} not found: run the pipeline first, with `make repro`")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, 256, spec.shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name, (OUTPUT / "service.log").open("w") as log:
        folder = Path(name)
        (folder / "image.png").write_bytes(encode_png(image))
        (folder / "post.lua").write_text(SCRIPT, encoding="utf-8")
        port = free_port()
        settings = {
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "ENVIRONMENT": "development",  # no key is needed
        }
        command = [sys.executable, "-m", f"{__package__.partition('.')[0]}.serving"]
        service = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
        try:
            wait_until_ready(port)
            rows = [load(port, folder, number) for number in CONNECTIONS]
        finally:
            service.terminate()
            service.wait()
    measured = {"cores": num_cores(), "workers": Settings().num_workers}
    by_connections = dict(zip(map(str, CONNECTIONS), rows, strict=True))
    write_json(OUTPUT / "serving.json", measured | {"rows": by_connections})
    (OUTPUT / "serving.md").write_text(table(rows), encoding="utf-8")
    plot(rows)
    print(table(rows), end="")


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(port: int) -> None:
    """Return once the service has a model."""
    transport = httpx.HTTPTransport(retries=8)  # with growing pauses, a minute in all
    with httpx.Client(transport=transport) as client:
        client.get(f"http://127.0.0.1:{port}/readyz").raise_for_status()


def load(port: int, folder: Path, num_connections: int) -> Row:
    """Predictions and refusals a second, and latencies in milliseconds."""
    command = ["wrk", "--threads=1", f"--connections={num_connections}", f"--duration={SECONDS}s"]
    command += ["--latency", f"--script={folder / 'post.lua'}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/predict"],
        env=os.environ | {"IMAGE": str(folder / "image.png")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def table(rows: list[Row]) -> str:
    """What was measured, as Markdown."""
    lines = [
        f"{num_cores()} cores, {Settings().num_workers} workers; wrk on the same machine",
        "",
        "| connections | predictions/s | p50 ms | p99 ms | refused/s |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {n} | {r['rate']:,.0f} | {r['p50']:.2f} | {r['p99']:.2f} | {r['refused']:,.0f} |"
            for n, r in zip(CONNECTIONS, rows, strict=True)
        ),
    ]
    return "\n".join(lines) + "\n"


def plot(rows: list[Row]) -> None:
    """Latency against throughput, as build/bench/serving.svg."""
    rates: list[float] = [row["rate"] for row in rows]
    styles: dict[str, dict[str, Any]] = {"p99": {"color": "#4f46e5"}, "p50": {"color": "#a5a1f5"}}
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, style in styles.items():
        axes.plot(rates, [row[name] for row in rows], "o-", label=name, **style)
    for number, row in zip(CONNECTIONS, rows, strict=True):
        axes.annotate(str(number), (row["rate"], row["p99"]), (0, 7), textcoords="offset points")
    axes.set(xlabel="predictions per second", ylabel="latency in ms", yscale="log", xlim=(0, None))
    axes.set_title("Latency by load; the numbers are connections", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(OUTPUT / "serving.svg")


if __name__ == "__main__":
    main()
