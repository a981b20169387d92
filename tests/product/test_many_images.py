"""Many images: on one core or several, on a cluster, and with workers that die."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from my_project import parallel
from my_project.data import decode
from my_project.data.image_folder import read_image_folder
from my_project.data.prepare import prepare
from my_project.errors import UserError
from my_project.parallel import map_chunks
from my_project.serving import predict_folder as predict_module
from my_project.serving.predict_folder import predict_folder

from ..digits import digit_images
from ..serving_helpers import eventually, png
from ..test_data import CONFIG
from .chunks import die_at, touch_each, wait_in_workers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
ADDRESS = "DASK_SCHEDULER_ADDRESS"
NUM_IMAGES = 400


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in a folder for each class, one of them broken."""
    folder = tmp_path_factory.mktemp("images")
    pixels, labels = digit_images()
    for row in range(NUM_IMAGES):
        file = folder / str(labels[row]) / f"{row}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(pixels[row]))
    (folder / "0/broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(params=["1", "2", "3", "dask"])
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """So many processes, or a cluster; with small chunks, so that all of them work."""
    monkeypatch.setattr(decode, "MAX_CHUNK_SIZE", 7)
    monkeypatch.setattr(predict_module, "BATCH_SIZE", 7)
    choice: str = request.param
    if choice == "dask":
        monkeypatch.setenv(ADDRESS, request.getfixturevalue("cluster"))
    else:
        monkeypatch.setattr(parallel, "num_cores", lambda: int(choice))
    return choice


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Dask scheduler and two workers with one thread each, on loopback."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    env = os.environ | {
        "PYTHONPATH": str(Path.cwd()),  # where this file's functions are
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2",  # a worker takes seconds to start
    }
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = [*dask, "worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    options = ["--scheduler-file", str(file)]
    log = (folder / "log").open("w", encoding="utf-8")
    processes = [
        subprocess.Popen([*command, *options], cwd=folder, env=env, stdout=log, stderr=log)
        for command in (scheduler, worker)
    ]
    distributed = pytest.importorskip("distributed")
    assert eventually(file.exists)
    with distributed.Client(scheduler_file=str(file)) as client:
        client.wait_for_workers(2, timeout=60)
        yield client.scheduler.address
    for process in processes:
        process.terminate()
        process.wait()
    log.close()


def prepared(images: Path, target: Path) -> str:
    """The hash of all that `prepare` writes."""
    prepare(read_image_folder(images), "digits", CONFIG, target)
    digest = hashlib.sha256()
    for file in sorted(target.iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def test_prepare_writes_the_same_bytes_with_any_number_of_workers(
    images: Path, workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_workers = prepared(images, tmp_path / "a")
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(decode, "MAX_CHUNK_SIZE", NUM_IMAGES + 1)  # one chunk, in this process
    assert prepared(images, tmp_path / "b") == with_workers
    assert "broken.png" in (tmp_path / "a/dataset.json").read_text(encoding="utf-8")


def test_predict_writes_the_same_bytes_with_any_number_of_workers(
    images: Path, workers: str, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict_folder(images, tmp_path / "a.csv", model_dir) == (NUM_IMAGES + 1, 1)
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(predict_module, "BATCH_SIZE", NUM_IMAGES + 1)
    predict_folder(images, tmp_path / "b.csv", model_dir)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize("workers", ["2", "dask"], indirect=True)
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_dies_costs_its_chunks_only(
    workers: str, deaths: int, tmp_path: Path
) -> None:
    function = partial(die_at, number=50, scars=tmp_path, deaths=deaths)
    found = [value for chunk in map_chunks(function, range(100), 5) for value in chunk]
    assert found == [2 * value for value in range(100)]
    assert len(list(tmp_path.iterdir())) == deaths


@pytest.mark.parametrize("workers", ["2", "dask"], indirect=True)
def test_workers_that_die_again_and_again_end_it_with_one_sentence(
    workers: str, tmp_path: Path
) -> None:
    function = partial(die_at, number=50, scars=tmp_path, deaths=100)
    with pytest.raises(UserError, match="workers died at the same images, one after the other"):
        list(map_chunks(function, range(100), 5))


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = multiprocessing.get_context("spawn").Process(target=wait_in_workers, args=(tmp_path,))
    parent.start()
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    parent.join()
    pids = [int(file.name) for file in tmp_path.iterdir()]
    assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_results_that_nobody_takes_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "num_cores", lambda: 2)
    results = map_chunks(partial(touch_each, folder=tmp_path), range(1000), 1)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) <= 2 * parallel.CHUNKS_PER_WORKER + 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers at DASK_SCHEDULER_ADDRESS=tcp://127"),
        ("nonsense://a", "no Dask scheduler answers at DASK_SCHEDULER_ADDRESS=nonsense"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_sentence(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, address)
    monkeypatch.setattr(parallel, "CONNECT_SECONDS", 1)
    with pytest.raises(UserError, match=message):
        list(map_chunks(np.sum, range(10), 1))


def test_a_cluster_needs_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="uv sync --inexact --group cluster"):
        list(map_chunks(np.sum, range(10), 1))
