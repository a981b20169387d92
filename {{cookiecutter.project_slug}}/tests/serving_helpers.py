"""A real model and a real server for the tests of the service."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import numpy.typing as npt
import onnx
import sqlalchemy as sa
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from package_name.metadata import (
    MODEL_FILE,
    ModelMetadata,
    sha256_of,
)
from package_name.preprocess import ImageSpec

Found = TypeVar("Found")
PNG = {"Content-Type": "image/png"}
DIGITS = ImageSpec(channels=1, height=8, width=8)


def digit_images() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """scikit-learn's scanned digits as pixels (N, 8, 8) in 0..255, and their labels (N,)."""
    digits = load_digits()
    return (digits.images * (255 / 16)).astype(np.uint8), digits.target


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) or (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_model(folder: Path) -> ModelMetadata:
    """Train a logistic regression on the digits, and write it as `export` writes a model."""
    images, labels = digit_images()
    rows = images.reshape(len(images), -1) / 255
    classifier = LogisticRegression(max_iter=1000).fit(rows, labels)
    weights = {
        "scale": np.float32(1 / 255),
        "weight": classifier.coef_.T.astype(np.float32),
        "bias": classifier.intercept_.astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
            helper.make_node("Flatten", ["scaled"], ["rows"]),
            helper.make_node("Gemm", ["rows", "weight", "bias"], ["logits"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", *DIGITS.shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / MODEL_FILE)
    metadata = ModelMetadata(
        model="logistic regression",
        classes=tuple(str(digit) for digit in range(10)),
        image=DIGITS,
        sha256=sha256_of(folder / MODEL_FILE),
        commit="none",
        data_hash="none",
        created="2026-01-01T00:00:00+00:00",
        hardware="none",
        params={},
        metrics={"accuracy": float(classifier.score(rows, labels))},
    )
    metadata.save(folder)
    return metadata


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running_server(model_dir: Path, **settings: object) -> Iterator[httpx.Client]:
    """Run the service in a process of its own; the client reaches it."""
    port = free_port()
    settings = {
        "model_dir": model_dir,
        "port": port,
        "num_workers": 1,
        "database_url": f"sqlite:///{model_dir.parent}/predictions-{port}.db",
    } | settings
    environment = {name.upper(): str(value) for name, value in settings.items()}
    module = "package_name.serving"
    server = subprocess.Popen([sys.executable, "-m", module], env=os.environ | environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait_until_up(client, server)
            yield client
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_up(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended while it was starting"
        with contextlib.suppress(httpx.TransportError):
            client.get("/healthz")
            return
        time.sleep(0.05)
    raise AssertionError("the server did not come up within a minute")


@contextlib.contextmanager
def clients(url: httpx.URL, digit: bytes, number: int = 4) -> Iterator[Counter[str]]:
    """Clients that ask without a pause, each time by a new connection; counts what they get."""
    answers: Counter[str] = Counter()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            connection = HTTPConnection(url.host, url.port, timeout=30)
            try:
                connection.request("POST", "/v1/predict", digit, PNG)
                answers[str(connection.getresponse().status)] += 1
            except (OSError, HTTPException) as error:
                answers[type(error).__name__] += 1
                time.sleep(0.01)
            finally:
                connection.close()

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()


def connect(server: httpx.Client) -> socket.socket:
    """A connection of one's own to the server, to send what no client would."""
    return socket.create_connection(("127.0.0.1", server.base_url.port or 0), timeout=30)


def head_of(picture: bytes) -> bytes:
    """The head of a request for a prediction, whose body is the picture."""
    length = f"Content-Length: {len(picture)}"
    return f"POST /v1/predict HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n".encode()


def more(answers: Counter[str], number: int = 50) -> None:
    """Wait for so many more answers."""
    goal = answers["200"] + number
    assert eventually(lambda: answers["200"] >= goal), answers


def eventually(find: Callable[[], Found]) -> Found:
    """What `find` gives as soon as it is true; the last it gave after ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def rows(database: str, query: str) -> Sequence[sa.Row[Any]]:
    engine = sa.create_engine(database)
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text(query)).all()
    except sa.exc.DatabaseError:  # before the first write
        return []
    finally:
        engine.dispose()
