"""What a stranger, or someone with a key, does to take the service from the others."""

import asyncio
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from my_project.preprocess import ImageError, decode_image
from my_project.serving.decoder import Decoder
from my_project.serving.keys import KeyFile, KeyRing
from my_project.serving.predictor import ModelError, Predictor

from ..serving_helpers import (
    DIGITS,
    PNG,
    eventually,
    free_port,
    png,
    run_module,
    running_server,
    write_model,
)
from .clients import connect, status_of

JPEG = {"Content-Type": "image/jpeg"}


def slow_jpeg(size: int = 1000, num_scans: int = 3000) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    file = io.BytesIO()
    Image.new("L", (size, size)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * num_scans + data[end:]


def test_a_jpeg_that_is_made_to_decode_for_ever_is_refused_at_once() -> None:
    data = slow_jpeg()
    assert len(data) < 10_000_000
    with pytest.raises(ImageError, match="the JPEG has more than 64 scans"):
        decode_image(data, DIGITS)
    assert decode_image(slow_jpeg(num_scans=0), DIGITS).shape == DIGITS.shape


def as_multi_picture(jpeg: bytes) -> bytes:
    """The JPEG with the segment by which cameras say that there are more images in the file."""
    entries = struct.pack("<LLLHH", 0x030000, len(jpeg), 0, 0, 0) + struct.pack("<LLLHH", *[0] * 5)
    fields = [(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack("<L", 2))]
    fields.append((0xB002, 7, len(entries), struct.pack("<L", 8 + 2 + 3 * 12 + 4)))
    index = b"".join(struct.pack("<HHL4s", *one) for one in fields)
    content = b"MPF\0II*\0" + struct.pack("<LH", 8, len(fields)) + index + bytes(4) + entries
    return jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def test_nor_does_it_help_to_call_it_a_file_of_several_pictures() -> None:
    data = as_multi_picture(slow_jpeg())
    assert Image.open(io.BytesIO(data)).format == "MPO"
    with pytest.raises(ImageError, match="the JPEG has more than 64 scans"):
        decode_image(data, DIGITS)
    assert decode_image(as_multi_picture(slow_jpeg(num_scans=0)), DIGITS).shape == DIGITS.shape


def test_a_key_that_sends_many_large_images_makes_another_wait_for_one_of_them() -> None:
    large = png(np.zeros((3000, 3000), np.uint8))
    order: list[str] = []

    async def use() -> None:
        decoder = Decoder(max_pixels=16_000_000)

        async def decode(key: str) -> None:
            await decoder.decode(large, DIGITS, key)
            order.append(key)

        await asyncio.gather(*(decode(key) for key in ["mallory"] * 8 + ["ana"]))

    asyncio.run(use())
    assert order.index("ana") <= 2


def test_bodies_that_never_end_take_a_bounded_amount_of_memory(model_dir: Path) -> None:
    digit = png(np.zeros((8, 8), np.uint8))
    head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
    with running_server(model_dir, max_total_body_bytes=5_000_000) as client:
        connections = [connect(client) for _ in range(8)]
        try:
            for connection in connections:
                connection.sendall(head + bytes(1_000_000))
            refused = eventually(lambda: _answered(connections))
            assert len(refused) >= 3
            assert {status_of(connection) for connection in refused} == {503}
            response = client.post("/v1/predict", content=digit, headers=PNG)
            assert response.status_code == 200
        finally:
            for connection in connections:
                connection.close()
        eventually(lambda: client.post("/v1/predict", content=bytes(4_900_000)).status_code == 422)


def _answered(connections: list[socket.socket]) -> list[socket.socket]:
    """The connections that have been answered, as soon as they are three."""
    found = []
    for connection in connections:
        connection.settimeout(0.1)
        try:
            connection.recv(1, socket.MSG_PEEK)
            found.append(connection)
        except TimeoutError:
            pass
        connection.settimeout(60)
    return found if len(found) >= 3 else []


def test_only_the_key_that_predicted_may_say_what_the_image_is(
    model_dir: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    tokens = {
        name: run_module("serving.keys", "create", name, api_keys_file=keys)
        for name in ("ana", "mallory")
    }
    settings = {"environment": "production", "api_keys_file": keys}
    digit = png(np.zeros((8, 8), np.uint8))
    with running_server(model_dir, **settings) as client:

        def say(name: str, prediction_id: str) -> int:
            headers = {"Authorization": f"Bearer {tokens[name]}"}
            body = {"prediction_id": prediction_id, "label": "3"}
            return client.post("/v1/feedback", json=body, headers=headers).status_code

        headers = PNG | {"Authorization": f"Bearer {tokens['ana']}"}
        answer = client.post("/v1/predict", content=digit, headers=headers)
        prediction = answer.raise_for_status().json()
        assert say("ana", prediction["id"]) == 202  # at once, while its row may wait in memory
        assert say("mallory", prediction["id"]) == 404
        assert say("ana", "0" * 32) == 404


def test_a_database_that_accepts_and_never_answers_does_not_hold_up_the_end(
    model_dir: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = free_port()
        url = f"postgresql+psycopg://ana@127.0.0.1:{silent.getsockname()[1]}/predictions"
        settings = {"MODEL_DIR": str(model_dir), "PORT": str(port), "NUM_WORKERS": "1"}
        command = [sys.executable, "-m", "my_project.serving"]
        environment = os.environ | settings | {"DATABASE_URL": url}
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        digit = png(np.zeros((8, 8), np.uint8))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            eventually(lambda: _is_up(client))
            assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200
        server.terminate()
        output, _ = server.communicate(timeout=25)
    messages = [json.loads(line)["message"] for line in output.decode().splitlines()]
    assert "1 rows could not be written to the database" in messages


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def test_whatever_is_wrong_with_a_model_a_later_one_is_loaded(tmp_path: Path) -> None:
    model = tmp_path / "model"
    metadata = write_model(model)
    weights = (model / "model.onnx").read_bytes()
    (model / "model.onnx").unlink()
    (model / "model.onnx").mkdir()  # reading it is an OSError
    with running_server(model, model_poll_seconds=0.1) as client:
        assert client.get("/readyz").status_code == 503
        time.sleep(0.3)  # it tries again in between
        (model / "model.onnx").rmdir()
        (model / "model.onnx").write_bytes(weights)
        assert eventually(lambda: client.get("/readyz").is_success)
    replace(metadata, classes=("a", "b")).save(model)
    with pytest.raises(ModelError, match=r"has 10 outputs, but metadata.json names 2 classes"):
        Predictor.load(model, num_threads=1)


def test_a_key_that_is_revoked_ends_even_if_the_files_time_and_size_do_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("my_project.serving.keys.RELOAD_SECONDS", 0)
    path = tmp_path / "keys.json"
    keys, ring = KeyFile(path), KeyRing(path)
    token = keys.create("ana", ("predict",), rate=1)
    assert ring.find(token)
    before = path.stat()
    keys.revoke("ana")
    keys.create("eva", ("predict",), rate=1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert ring.find(token) is None


def test_a_broken_key_file_leaves_the_keys_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("my_project.serving.keys.RELOAD_SECONDS", 0)
    path = tmp_path / "keys.json"
    ring = KeyRing(path)
    token = KeyFile(path).create("ana", ("predict",), rate=1)
    assert ring.find(token)
    path.write_text("[{", encoding="utf-8")
    assert all(ring.find(token) for _ in range(3))
    assert ring.problem.startswith("the API keys stay as they were")
    assert caplog.text.count("the API keys stay as they were") == 1  # and not once a request


def test_keys_that_are_created_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    names = [f"key-{number}" for number in range(12)]
    barrier = threading.Barrier(len(names))

    def create(name: str) -> None:
        barrier.wait()
        KeyFile(path).create(name, ("predict",), rate=1)

    threads = [threading.Thread(target=create, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(KeyFile(path).read()) == sorted(names)
