"""The service without each of its ways around a library: what that one pays, alone.

    uv run python -m benchmarks.shortcuts --data FOLDER

Wants wrk. Each variant is a copy of the sources in which a few lines are put back to what the
library offers. All of them run in turn, round by round, with all protections on.
"""

import argparse
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.pictures import png

from .project import generated, served_folder
from .report import write
from .serving import NUM_CORES, Server, create_key, load, running, servers, train_shortly

CONNECTIONS = (1, 16, 64)
ROUNDS = 5
SECONDS = 2
WORKERS = (1, NUM_CORES)
WHOLE = "as it is"
PEER = "FastAPI + ONNX Runtime, nothing protected"

Edits = list[tuple[str, str, str]]  # file, text, what takes its place

FAST_PATH: Edits = [
    ("app.py", "Observe(FastPath(create_app(Settings())))", "Observe(create_app(Settings()))")
]
JOINED_WRITES: Edits = [
    ("protocol.py", "self._writes = JoinedWrites(transport, self.tasks)", ""),
    (
        "protocol.py",
        'cast("asyncio.Transport", self._writes)',
        'cast("asyncio.Transport", transport)',
    ),
    ("protocol.py", "self._writes.flush()", ""),
]
BUFFERED_VALUE: Edits = [
    ("metrics.py", "    values.ValueClass = BufferedValue\n", "    pass\n"),
    ("metrics.py", "@functools.lru_cache(maxsize=1024)\n", ""),
]
INSERT: Edits = [
    (
        "store.py",
        "                    insert(connection, values)",
        "                    dialect = self._engine.dialect.name\n"
        "                    is_pg = dialect == 'postgresql'\n"
        "                    upsert = postgresql.insert if is_pg else sqlite.insert\n"
        "                    connection.execute(upsert(table).on_conflict_do_nothing(), values)",
    ),
    (
        "store.py",
        "engine = sa.create_engine(url, pool_pre_ping=True, paramstyle=placeholder)",
        "engine = sa.create_engine(url, pool_pre_ping=True)",
    ),
    (
        "store.py",
        "            table: Insert(table, self._engine.dialect)",
        "            table: None",
    ),
    ("predict.py", "as_text(datetime.now(UTC))", "datetime.now(UTC)"),
    ("predict.py", "orjson.dumps(result.probabilities).decode()", "result.probabilities"),
    ("app.py", "store.as_text(datetime.now(UTC))", "datetime.now(UTC)"),
]
LOOP_BATCHES: Edits = [("batching.py", "MAX_BATCH_SECONDS = 0.005", "MAX_BATCH_SECONDS = 0.0")]
LOOP_DECODING: Edits = [
    *LOOP_BATCHES,
    ("batching.py", "MAX_BLOCKING_BYTES = 32_768", "MAX_BLOCKING_BYTES = 0"),
]
ACCESS_LOG: Edits = [
    (
        "logs.py",
        "            self._lines.append(line)\n            if self._timer is None:",
        "            sys.stdout.write(line)\n            sys.stdout.flush()\n            if False:",
    )
]
COLLECTOR: Edits = [("app.py", "        gc.freeze()\n        gc.set_threshold(GC_THRESHOLD)\n", "")]
SWITCHES: Edits = [("server.py", "    sys.setswitchinterval(0.0001)\n", "")]
H11: Edits = [("server.py", "http=Protocol,", 'http="h11",')]

VARIANTS: dict[str, Edits] = {
    WHOLE: [],
    "without `FastPath`": FAST_PATH,
    "without `JoinedWrites`": JOINED_WRITES,
    "without `BufferedValue` and the caches of labels": BUFFERED_VALUE,
    "without `Insert`": INSERT,
    "batches on a thread": LOOP_BATCHES,
    "batches and decoding on threads": LOOP_DECODING,
    "a write for each line of the log": ACCESS_LOG,
    "the garbage collector as Python sets it": COLLECTOR,
    "turns of threads as Python sets them": SWITCHES,
    "h11, and so without `Protocol`": H11,
    "without all of them, on httptools": [
        *FAST_PATH,
        *JOINED_WRITES,
        *BUFFERED_VALUE,
        *INSERT,
        *LOOP_BATCHES,
        *ACCESS_LOG,
        *COLLECTOR,
        *SWITCHES,
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        train_shortly(project, url)
        picture = project / "picture.png"
        picture.write_bytes(png(np.load(project / "data/prepared/test_images.npy")[0]))
        own, peer, *_ = servers(project, project, create_key(project))
        _write(_measure(project, own, peer, picture))


def _measure(
    project: Path, own: Server, peer: Server, picture: Path
) -> dict[tuple[str, int, int], list[dict[str, float]]]:
    """All readings by variant, workers and connections."""
    python = str(project / ".venv/bin/python")
    results: dict[tuple[str, int, int], list[dict[str, float]]] = {}
    candidates = {}
    for name, edits in VARIANTS.items():
        env = {"PYTHONPATH": str(_copy(project, name, edits)), "NUM_WORKERS": "{workers}"}
        candidates[name] = replace(
            own,
            command=[python, "-m", "my_project.serving"],
            env=own.env | env,
            variants={str(count): {"workers": count} for count in WORKERS},
        )
    candidates[PEER] = replace(peer, variants={str(n): {"workers": n} for n in WORKERS})
    for round_ in range(ROUNDS):
        for workers in WORKERS:
            for name, server in candidates.items():
                with running(project, server, str(workers)) as port:
                    load(server, port, picture, 16, 1)  # to warm up
                    for count in CONNECTIONS:
                        reading = load(server, port, picture, count, SECONDS)
                        results.setdefault((name, workers, count), []).append(reading)
        print(f"round {round_ + 1} of {ROUNDS} is done", flush=True)
    return results


def _copy(project: Path, name: str, edits: Edits) -> Path:
    """A copy of the sources with these edits; gives the folder for PYTHONPATH."""
    folder = project / "build/variants" / "".join(filter(str.isalnum, name))
    shutil.copytree(project / "src", folder)
    for file, old, new in edits:
        path = folder / "my_project/serving" / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name}: {file} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def _write(results: dict[tuple[str, int, int], list[dict[str, float]]]) -> None:
    def values(name: str, workers: int, count: int, key: str) -> list[float]:
        return [reading[key] for reading in results[name, workers, count]]

    rows = []
    for name in [*VARIANTS, PEER]:
        cells = []
        for workers in WORKERS:
            for count in CONNECTIONS:
                speeds = values(name, workers, count, "good_per_second")
                whole = values(WHOLE, workers, count, "good_per_second")
                pairs = [b / a for a, b in zip(whole, speeds, strict=True)]
                cells.append(
                    f"{statistics.median(speeds):,.0f}, {statistics.median(pairs):.2f} "
                    f"({min(pairs):.2f} to {max(pairs):.2f})"
                )
            cells.append(f"{statistics.median(values(name, workers, 1, 'p99_ms')):.1f}")
        rows.append([name, *cells])
    columns = ["the service"]
    for workers in WORKERS:
        columns += [f"{workers} worker{'s'[: workers > 1]}, {count}" for count in CONNECTIONS]
        columns.append(f"{workers} worker{'s'[: workers > 1]}, p99 in ms at 1")
    write(
        "shortcuts",
        "Requests a second without each way around a library, at 1, 16 and 64 connections; "
        "beside it the median, lowest and highest of the ratios to the whole in the same round",
        "python -m benchmarks.shortcuts --data FOLDER",
        columns,
        rows,
    )


if __name__ == "__main__":
    main()
