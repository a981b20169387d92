"""However much one API key asks for, another one has its part."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from my_project.serving.images import BodyLimits
from my_project.serving.keys import KeyFile, KeyRing
from my_project.serving.settings import Settings
from my_project.serving.state import AppState

from ..serving_helpers import PNG, run_module, running_server

NAMES = ("ana", "mallory")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two keys, and under `file` where they are."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    made = {name: run_module("serving.keys", "create", name, api_keys_file=file) for name in NAMES}
    return made | {"file": str(file)}


@pytest.fixture(scope="module")
def server(model_dir: Path, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    settings = {"environment": "production", "api_keys_file": tokens["file"]}
    with running_server(model_dir, **settings) as client:
        yield client


def headers(tokens: dict[str, str], name: str) -> dict[str, str]:
    return PNG | {"Authorization": f"Bearer {tokens[name]}"}


def test_one_key_cannot_fill_the_queue(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/predictions.db"
    state = AppState(Settings(model_dir=tmp_path, database_url=url, max_queue_size=16))
    with contextlib.ExitStack() as stack:
        for _ in range(14):
            assert not state.is_overloaded_by("mallory")
            stack.enter_context(state.counted_as_waiting("mallory", 0))
        assert state.is_overloaded_by("mallory")
        assert not state.is_overloaded_by("ana")
    assert not state.is_overloaded_by("mallory")


def test_one_key_cannot_take_all_of_the_bodies_memory() -> None:
    limits = BodyLimits(max_bytes=100, seconds=1, max_total_bytes=1000)
    limits.add("mallory", 501)
    assert limits.is_exceeded_by("mallory")
    limits.add("ana", 499)
    assert not limits.is_exceeded_by("ana")
    limits.add("eva", 1)
    assert limits.is_exceeded_by("eva")  # there is no more


def form(field: bytes, file: bytes) -> bytes:
    parts = ((b'name="x"', field), (b'name="file"; filename="a"', file))
    return b"".join(
        b"--B\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + content + b"\r\n"
        for name, content in parts
    )


def test_a_forms_charset_is_not_the_clients_to_choose(
    server: httpx.Client, tokens: dict[str, str], digit: bytes
) -> None:
    body = form(b"xn--" + b"a" * 300_000, digit) + b"--B--\r\n"
    for charset in ("idna", "undefined"):
        kind = {"Content-Type": f"multipart/form-data; boundary=B; charset={charset}"}
        start = time.monotonic()
        answer = server.post("/v1/predict", content=body, headers=headers(tokens, "ana") | kind)
        assert answer.status_code == 200
        assert time.monotonic() - start < 10  # idna takes minutes


def test_a_form_that_takes_long_to_read_holds_up_nobody(
    server: httpx.Client, tokens: dict[str, str], digit: bytes
) -> None:
    near = b"\r\n--Bx" * 1_400_000  # nearly the boundary, again and again
    body = form(b"", near) + b"--B--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    waits: list[float] = []

    async def use() -> None:
        async with httpx.AsyncClient(base_url=server.base_url, timeout=60) as client:
            reading = asyncio.create_task(
                client.post("/v1/predict", content=body, headers=headers(tokens, "mallory") | kind)
            )
            while not reading.done():
                start = time.monotonic()
                answer = await client.get("/healthz")
                assert answer.status_code == 200
                waits.append(time.monotonic() - start)
            assert reading.result().status_code in (400, 422)

    asyncio.run(use())
    assert len(waits) >= 5  # the event loop went on


def test_unknown_ids_do_not_make_anothers_feedback_wait(
    server: httpx.Client, tokens: dict[str, str], digit: bytes
) -> None:
    answer = server.post("/v1/predict", content=digit, headers=headers(tokens, "ana"))
    identifier = answer.json()["id"]

    async def use() -> None:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=server.base_url, timeout=60, limits=limits) as client:

            async def say(name: str, prediction: str) -> int:
                body = {"prediction_id": prediction, "label": "3"}
                authorization = headers(tokens, name)["Authorization"]
                answer = await client.post(
                    "/v1/feedback", json=body, headers={"Authorization": authorization}
                )
                return answer.status_code

            unknown = [asyncio.create_task(say("mallory", f"{n:032x}")) for n in range(90)]
            await asyncio.sleep(0)
            assert await say("ana", identifier) == 202
            still_waiting = sum(not task.done() for task in unknown)
            assert set(await asyncio.gather(*unknown)) <= {404, 429}
            assert still_waiting > 0  # and ana was not behind all of them

    asyncio.run(use())


def test_the_log_names_the_key_of_refused_requests_and_never_anothers(
    model_dir: Path, tokens: dict[str, str], digit: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"environment": "production", "api_keys_file": tokens["file"]}
    with running_server(model_dir, **settings) as server:
        for name, content in (("ana", digit), ("mallory", b"no image"), (None, digit)):
            sent = headers(tokens, name) if name else PNG
            server.post("/v1/predict", content=content, headers=sent)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    keys = [(line["status"], line.get("key")) for line in lines if line.get("status")]
    assert keys == [(200, "ana"), (422, "mallory"), (401, None)]


def test_a_long_path_is_cut_in_the_log(model_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running_server(model_dir) as server:
        server.get("/" + "a" * 30_000)
    assert max(map(len, capfd.readouterr().out.splitlines())) < 1000


def test_a_key_is_revoked_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    token, other = keys.create("ana", ("predict",), rate=1), keys.create("eva", ("predict",), 1)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("my_project.serving.keys.write_json", full)
    keys.revoke("ana")
    ring = KeyRing(path)
    assert ring.find(token) is None
    assert ring.find(other)
