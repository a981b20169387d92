"""A real model and a real server for the tests of the service."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import numpy.typing as npt
import onnx
import sqlalchemy as sa
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.linear_model import LogisticRegression

from package_name.files import sha256_of
from package_name.metadata import MODEL_FILE, ModelMetadata
from package_name.preprocess import ImageSpec

from .digits import digit_images

Found = TypeVar("Found")
PNG = {"Content-Type": "image/png"}
DIGITS = ImageSpec(channels=1, height=8, width=8)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) or (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_model(folder: Path) -> ModelMetadata:
    """Train a logistic regression on the digits, and write it as `export` writes a model."""
    images, labels = digit_images()
    features = images.reshape(len(images), -1) / 255
    classifier = LogisticRegression(max_iter=1000).fit(features, labels)
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
        metrics={"accuracy": float(classifier.score(features, labels))},
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
    command = [sys.executable, "-m", "package_name.serving"]
    server = subprocess.Popen(command, env=os.environ | environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait_until_up(client, server)
            yield client
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_until_up(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended while it was starting"
        with contextlib.suppress(httpx.TransportError):
            client.get("/healthz")
            return
        time.sleep(0.05)
    raise AssertionError("the server did not come up within a minute")


def run_module(name: str, *arguments: str, **environment: object) -> str:
    """The output of a command of the service, such as `keys create`."""
    variables = {key.upper(): str(value) for key, value in environment.items()}
    command = [sys.executable, "-m", f"package_name.{name}", *arguments]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def eventually(find: Callable[[], Found]) -> Found:
    """What `find` returns as soon as it is true; after a minute, what it returned last."""
    deadline = time.monotonic() + 60
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def rows(database: str, query: str) -> Sequence[sa.Row[Any]]:
    """What the query finds; nothing before the service's first write."""
    engine = sa.create_engine(database)
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text(query)).all()
    except sa.exc.DatabaseError:
        return []
    finally:
        engine.dispose()
