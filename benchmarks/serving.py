"""The generated service, with all protections on, beside what people would pick instead.

    uv run python -m benchmarks.serving --data FOLDER

FOLDER holds Fashion-MNIST's four official files. Wants wrk and Java. All servers have the same
model and get the same 28x28 PNG, one after the other, each with the best of its `variants` in
number of workers and size of batches. The servers themselves are in benchmarks/peers.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import matplotlib.pyplot as plt
import numpy as np

from scripts.demo import free_port, project_environment
from tests.pictures import png

from .project import generated, measure, served_folder
from .report import RESULTS, write

PEERS = Path(__file__).parent / "peers"
NUM_CORES = os.cpu_count() or 1
CONNECTIONS = (1, 16, 64, 256)
OVERLOAD_CONNECTIONS = 4 * 256 * NUM_CORES  # four times what all workers' queues hold
OVERLOAD_SECONDS = 60
ROUNDS = 5
SECONDS = 2
READY_SECONDS = 90
COMMAND = "python -m benchmarks.serving --data FOLDER"
OWN = "this project's service, all protections on"


@dataclass(frozen=True)
class Server:
    """How to start a server, and how to ask it.

    variants: settings by their names, as the words that take the place of `{…}` in the command.
    folder: where it runs, unless that is the project.
    """

    name: str
    command: list[str]
    path: str
    variants: dict[str, dict[str, object]]
    env: dict[str, str] = field(default_factory=dict)
    as_json: bool = False
    token: str | None = None
    folder: Path | None = None


def uvicorn(module: str) -> list[str]:
    start = ["uv", "run", "uvicorn", "--app-dir", str(PEERS), module, "--port", "{port}"]
    return [*start, "--workers", "{workers}", "--no-access-log", "--log-level", "warning"]


WORKERS: dict[str, dict[str, object]] = {
    "1 worker": {"workers": 1},
    f"{NUM_CORES} workers": {"workers": NUM_CORES},
}
BATCHES: dict[str, dict[str, object]] = {
    f"{name}, batches of up to {size}": values | {"batch": size}
    for name, values in WORKERS.items()
    for size in (1, 16)
}


def servers(project: Path, torchserve: Path, token: str) -> list[Server]:
    """All that are compared, this project's own first."""
    own = {
        "ENVIRONMENT": "production",
        "API_KEYS_FILE": str(project / "api-keys.json"),
        "DATABASE_URL": f"sqlite:///{project / 'predictions.db'}",
        "PORT": "{port}",
        "NUM_WORKERS": "{workers}",
    }
    command = ["uv", "run", "python", "-m", "my_project.serving"]
    archive = torchserve / "deploy/torchserve/store"
    serve = ["uv", "run", "--with", "torchserve==0.12.0", "--with", "pyyaml", "--with"]
    serve += ["setuptools<81", "torchserve", "--start", "--foreground", "--disable-token-auth"]
    serve += ["--model-store", str(archive), "--ts-config", "{config}"]
    litserve = ["uv", "run", "--with", "litserve", "python", str(PEERS / "with_litserve.py")]
    return [
        *(
            Server(OWN, command, "/v1/predict", {name: values}, env=own, token=token)
            for name, values in WORKERS.items()
        ),
        *(
            Server(
                "FastAPI + ONNX Runtime",
                uvicorn("plain_onnxruntime:app"),
                "/predict",
                {name: values},
            )
            for name, values in WORKERS.items()
        ),
        Server("FastAPI + PyTorch", uvicorn("plain_torch:app"), "/predict", dict(WORKERS)),
        Server(
            "LitServe",
            [*litserve, "{port}", "{workers}", "{batch}"],
            "/predict",
            dict(BATCHES),
            as_json=True,
        ),
        Server(
            "TorchServe",
            serve,
            "/predictions/model",
            {name: {"config": _torchserve_config(torchserve, **BATCHES[name])} for name in BATCHES},
            folder=torchserve,
        ),
        Server(
            "FastAPI that answers a constant",
            uvicorn("plain_onnxruntime:app"),
            "/constant",
            {f"{NUM_CORES} workers": {"workers": NUM_CORES}},
        ),
    ]


def _torchserve_config(project: Path, workers: object, batch: object) -> str:
    """TorchServe's settings as a file whose port is filled in later."""
    model = {"defaultVersion": True, "marName": "model.mar", "minWorkers": workers}
    model |= {"maxWorkers": workers, "batchSize": batch, "maxBatchDelay": 2 if batch != 1 else 0}
    file = project / f"config-{workers}-{batch}.properties"
    file.write_text(
        "inference_address=http://127.0.0.1:@port@\n"
        "management_address=http://127.0.0.1:@port1@\nmetrics_address=http://127.0.0.1:@port2@\n"
        f"models={json.dumps({'model': {'1.0': model}})}\nload_models=model.mar\n"
    )
    return str(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    answers = {"dataset": "fashion-mnist"}
    with (
        generated(answers) as project,
        generated(answers | {"serving": "torchserve"}) as torchserve,
        served_folder(data) as url,
    ):
        for folder in (project, torchserve):
            train_shortly(folder, url)
        image = project / "picture.png"
        image.write_bytes(png(np.load(project / "data/prepared/test_images.npy")[0]))
        candidates = servers(project, torchserve, create_key(project))
        _overload(project, candidates[len(WORKERS) - 1], image)
        _compare(project, candidates, image)


def train_shortly(project: Path, url: str) -> None:
    """A model of full size on little data: how well it does makes no difference here."""
    params = project / "params.yaml"
    text = params.read_text("utf-8").replace("limit: null", "limit: 2000")
    text = text.replace("epochs: 16", "epochs: 1")
    params.write_text(text.replace("bootstrap_samples: 1000", "bootstrap_samples: 100"), "utf-8")
    measure(project, "make", "setup")
    measure(project, "uv", "run", "dvc", "repro", "--all-pipelines", env={"DATA_SOURCE_URL": url})


def create_key(project: Path) -> str:
    """An API key without a limit to speak of."""
    command = ["uv", "run", "python", "-m", "my_project.serving.keys", "create", "benchmark"]
    command += ["--rate", "1000000", "--permission", "predict", "--permission", "admin"]
    env = {"API_KEYS_FILE": str(project / "api-keys.json")}
    return measure(project, *command, env=env).output.strip()


def _overload(project: Path, server: Server, image: Path) -> None:
    """Far more clients than the service can answer, and what comes right after."""
    with running(project, server, next(iter(server.variants))) as port:
        load(server, port, image, 16, 2)  # to warm up
        peak = load(server, port, image, 64, 5)["good_per_second"]
        before = _resident_mb(port)
        during = load(server, port, image, OVERLOAD_CONNECTIONS, OVERLOAD_SECONDS)
        after = _resident_mb(port)
        time.sleep(1)
        recovered = load(server, port, image, 64, 2)["good_per_second"]
        statuses = _statuses(server, port)
    good, refused = during["good_per_second"], during["refused"] / OVERLOAD_SECONDS
    write(
        "overload",
        f"The service with {OVERLOAD_CONNECTIONS} clients that never pause, four times what its "
        f"queues hold, {OVERLOAD_SECONDS} s",
        COMMAND,
        ["", ""],
        [
            ["good answers a second before, 64 clients", f"{peak:,.0f}"],
            ["during", f"{good:,.0f}, {100 * good / peak:.0f} %"],
            ["a second after, 64 clients", f"{recovered:,.0f}, {100 * recovered / peak:.0f} %"],
            ["refused a second", f"{refused:,.0f}"],
            ["asked for a second", f"{good + refused:,.0f}, {(good + refused) / peak:.1f} times"],
            ["connections that broke or timed out", f"{during['broken']:.0f}"],
            ["statuses of all answers", ", ".join(sorted(statuses))],
            ["resident memory of all workers, MB", f"{before:.0f} before, {after:.0f} after"],
        ],
    )


def _resident_mb(port: int) -> float:
    """Of all processes whose environment names this port."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"PORT={port}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                pages = int((folder / "statm").read_text().split()[1])
                total += pages * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


def _statuses(server: Server, port: int) -> set[str]:
    """The statuses of the predictions so far, by the service's own metrics."""
    headers = {"Authorization": f"Bearer {server.token}"}
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=headers).raise_for_status().text
    return set(re.findall(r'http_requests_total{path="/v1/predict",status="(\d+)"', text))


Setting = tuple[str, str]  # a server's name, and that of its settings
Readings = dict[tuple[Setting, int], list[dict[str, float]]]  # by connections, too


def _compare(project: Path, candidates: list[Server], image: Path) -> None:
    settings = [(server.name, _best_variant(project, server, image)) for server in candidates]
    readings: Readings = {}
    for _ in range(ROUNDS):
        for server, setting in zip(candidates, settings, strict=True):
            with running(project, server, setting[1]) as port:
                load(server, port, image, 16, 1)  # to warm up
                for count in CONNECTIONS:
                    reading = load(server, port, image, count, SECONDS)
                    readings.setdefault((setting, count), []).append(reading)
    _write(settings, readings, _runtime_alone(project))


def _best_variant(project: Path, server: Server, image: Path) -> str:
    """The settings with the highest throughput at 16 connections, the median of some readings.

    Workers that share a socket take connections as they come, at times nearly all by one.
    """
    speeds = {}
    for name in server.variants if len(server.variants) > 1 else ():
        with running(project, server, name) as port:
            load(server, port, image, 16, 1)
            readings = [load(server, port, image, 16, 2) for _ in range(ROUNDS)]
            speeds[name] = statistics.median(reading["good_per_second"] for reading in readings)
    return max(speeds, key=lambda name: speeds[name], default=next(iter(server.variants)))


@contextlib.contextmanager
def running(project: Path, server: Server, variant: str) -> Iterator[int]:
    """A server in a process group of its own, from when it answers; gives its port."""
    port = free_port()
    words = {"port": port} | server.variants[variant]
    if "config" in words:
        text = Path(str(words["config"])).read_text()
        for key in ("@port@", "@port1@", "@port2@"):
            text = text.replace(key, str(port if key == "@port@" else free_port()))
        file = project / "config.properties"
        file.write_text(text)
        words["config"] = file
    command = [part.format(**words) for part in server.command]
    env = {key: value.format(**words) for key, value in server.env.items()}
    with (project / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=server.folder or project,
            env=project_environment() | env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_answering(server, port, project)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_answering(server: Server, port: int, project: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    body = (project / "picture.png").read_bytes()
    content = {"json": {"image_data": base64.b64encode(body).decode()}}
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
            given: dict[str, Any] = content if server.as_json else {"content": body}
            url = f"http://127.0.0.1:{port}{server.path}"
            if httpx.post(url, headers=headers, timeout=10, **given).is_success:
                return
        time.sleep(0.2)
    raise SystemExit(f"{server.name} did not get ready:\n{(project / 'server.log').read_text()}")


def load(server: Server, port: int, image: Path, count: int, seconds: int) -> dict[str, float]:
    """What wrk measures: good answers a second, latency in milliseconds, refusals, errors."""
    body = image
    if server.as_json:
        body = image.with_suffix(".json")
        encoded = base64.b64encode(image.read_bytes()).decode()
        body.write_text(json.dumps({"image_data": encoded}))
    env = {"BODY": str(body), "CONTENT_TYPE": "application/json" if server.as_json else "image/png"}
    env |= {"TOKEN": server.token} if server.token else {}
    wrk = ["wrk", "--threads", "1", "--connections", str(count), "--duration", f"{seconds}s"]
    done = subprocess.run(
        [
            *wrk,
            "--latency",
            "--script",
            str(PEERS / "post.lua"),
            f"http://127.0.0.1:{port}{server.path}",
        ],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(re.findall(r"^\{.*\}$", done.stdout, re.MULTILINE)[0])
    return result


def _runtime_alone(project: Path) -> dict[str, float]:
    output = measure(project, "uv", "run", "python", str(PEERS / "runtime_alone.py")).output
    speeds: dict[str, float] = json.loads(output)
    return speeds


def _write(settings: list[Setting], readings: Readings, alone: dict[str, float]) -> None:
    def values(setting: Setting, count: int, key: str) -> list[float]:
        return [reading[key] for reading in readings[setting, count]]

    def speed_up(setting: Setting, count: int) -> str:
        """The speed of the project over this one, with as many workers or one for each core."""
        same = [own for own in settings if own[0] == OWN and own[1] == setting[1]]
        own = same[0] if same else (OWN, f"{NUM_CORES} workers")
        pairs = zip(
            values(own, count, "good_per_second"),
            values(setting, count, "good_per_second"),
            strict=True,
        )
        ratios = [ours / theirs for ours, theirs in pairs]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"

    def median(setting: Setting, count: int, key: str) -> float:
        return statistics.median(values(setting, count, key))

    rows = [
        [
            *setting,
            *(f"{median(setting, count, 'good_per_second'):,.0f}" for count in CONNECTIONS),
            *(speed_up(setting, count) for count in (16, 64)),
            *(f"{median(setting, count, 'p99_ms'):.1f}" for count in CONNECTIONS),
        ]
        for setting in settings
    ]
    for num_threads, speed in alone.items():
        name = f"ONNX Runtime alone, {num_threads} threads, images/s"
        rows.append([name, "batches of 16", "", f"{speed:,.0f}", *[""] * 8])
    _plot(settings, median)
    write(
        "serving",
        "Predictions a second, and how long the slowest of a hundred takes",
        COMMAND,
        [
            *("server", "settings"),
            *(f"requests/s at {count} connections" for count in CONNECTIONS),
            *(f"this project's speed-up at {count} (lowest to highest)" for count in (16, 64)),
            *(f"p99 in ms at {count}" for count in CONNECTIONS),
        ],
        rows,
    )


def _plot(settings: list[Setting], median: Callable[[Setting, int, str], float]) -> None:
    """Throughput against the slowest of a hundred, from few connections to many."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    shown = [setting for setting in settings if "constant" not in setting[0]]
    shown = [(name, variant) for name, variant in shown if variant != "1 worker" or name != OWN]
    for setting in shown:
        rates = [median(setting, count, "good_per_second") for count in CONNECTIONS]
        tails = [median(setting, count, "p99_ms") for count in CONNECTIONS]
        is_own = setting[0] == OWN
        label = ", ".join(setting)
        axes.plot(rates, tails, "o-", linewidth=3 if is_own else 1.5, label=label)
        if is_own:
            for count, rate, tail in zip(CONNECTIONS, rates, tails, strict=True):
                axes.annotate(str(count), (rate, tail), (6, -12), textcoords="offset points")
    axes.set(yscale="log", xlim=(0, None), xlabel="predictions a second", ylabel="p99 in ms")
    title = f"{CONNECTIONS[0]} to {CONNECTIONS[-1]} connections, {NUM_CORES} cores"
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(RESULTS / "serving.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
