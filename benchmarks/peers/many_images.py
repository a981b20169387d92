"""Runs inside a generated project, for `benchmarks.many_images`: makes images, or prepares them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from my_project import parallel
from my_project.config import PrepareConfig
from my_project.data.image_folder import read_image_folder
from my_project.data.prepare import prepare
from my_project.preprocess import ImageSpec, decode_image
from PIL import Image

FOLDER = Path("build/many-images")
TARGET = Path("build/prepared")
NUM_CLASSES = 10
SIDE = 160
SIZE = 32  # to which `prepare` scales the images
CONFIG = PrepareConfig(
    channels=3,
    image_size=SIZE,
    validation_fraction=0.1,
    test_fraction=0.1,
    limit=None,
    seed=0,
    group_pattern=None,
)


def make_images(first: int, last: int) -> None:
    """Write JPEGs of smooth noise, about as large as photographs of that size."""
    for number in range(first, last):
        rng = np.random.default_rng(number)
        small = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 8, (SIDE, SIDE, 3))
        pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(FOLDER / str(number % NUM_CLASSES) / f"{number:06}.jpg")


def decode_half(half: int) -> None:
    """Decode every second image, and keep nothing."""
    spec = ImageSpec(3, SIZE, SIZE)
    for file in sorted(FOLDER.glob("*/*.jpg"))[half::2]:
        hashlib.sha256(decode_image(file.read_bytes(), spec).tobytes())


def run_both(*arguments: tuple[str, ...]) -> None:
    processes = [subprocess.Popen([sys.executable, __file__, *words]) for words in arguments]
    for process in processes:
        if process.wait():
            sys.exit("a part failed")


def kill_a_worker(after_seconds: float) -> None:
    """Kill one of the processes that decode."""
    time.sleep(after_seconds)
    children = psutil.Process().children(recursive=True)
    max(children, key=lambda child: child.cpu_times().user).kill()


@contextmanager
def cluster() -> Iterator[None]:
    """A Dask scheduler and two workers of one thread each."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers:
        os.environ["DASK_SCHEDULER_ADDRESS"] = workers.scheduler_address
        yield


def prepared_hash() -> str:
    digest = hashlib.sha256()
    for file in sorted(TARGET.iterdir()):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def largest_process(stop: threading.Event, peaks: list[float]) -> None:
    """Note the largest resident memory of this process and its children, without shared pages."""
    while not stop.wait(2):
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                memory = process.memory_info()
            except psutil.NoSuchProcess:
                continue
            peaks.append((memory.rss - memory.shared) / 2**20)


def run_prepare(num_workers: int) -> None:
    """Prepare the images, and print the time, the hash of all bytes and the largest process."""
    parallel.num_cores = lambda: num_workers
    stop, peaks = threading.Event(), [0.0]
    threading.Thread(target=largest_process, args=(stop, peaks)).start()
    shutil.rmtree(TARGET, ignore_errors=True)  # deleting an earlier run's files takes time, too
    start = time.perf_counter()
    prepare(read_image_folder(FOLDER), "image-folder", CONFIG, TARGET)
    seconds = time.perf_counter() - start
    stop.set()
    print(json.dumps({"seconds": seconds, "hash": prepared_hash(), "peak_mb": max(peaks)}))


def main() -> None:
    what, *numbers = sys.argv[1:]
    if what == "make":
        for number in range(NUM_CLASSES):
            (FOLDER / str(number)).mkdir(parents=True)
        count = int(numbers[0])
        run_both(("part", "0", str(count // 2)), ("part", str(count // 2), str(count)))
    elif what == "part":
        make_images(int(numbers[0]), int(numbers[1]))
    elif what == "half":
        decode_half(int(numbers[0]))
    elif what == "two":
        start = time.perf_counter()
        run_both(("half", "0"), ("half", "1"))
        print(json.dumps({"seconds": time.perf_counter() - start}))
    elif what == "killed":
        threading.Thread(target=kill_a_worker, args=(float(numbers[0]),), daemon=True).start()
        run_prepare(2)
    elif what == "dask":
        with cluster():
            run_prepare(1)
    else:
        run_prepare(int(what))


if __name__ == "__main__":
    main()
