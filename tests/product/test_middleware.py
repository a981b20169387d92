"""What happens around every request, with the application in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

from my_project.serving.app import create_app
from my_project.serving.middleware import trace_of
from my_project.serving.settings import Settings

from ..serving_helpers import PNG


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has started."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as running,
    ):
        yield running


def use(app: FastAPI, requests: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with client(app) as running:
            await requests(running)

    asyncio.run(run())


def app_of(model_dir: Path, tmp_path: Path, max_queue_size: int = 256) -> FastAPI:
    database_url = f"sqlite:///{tmp_path}/predictions.db"
    return create_app(
        Settings(model_dir=model_dir, database_url=database_url, max_queue_size=max_queue_size)
    )


def in_production(model_dir: Path, tmp_path: Path) -> FastAPI:
    """The application where everybody needs a key, of which there is none."""
    settings = Settings(
        model_dir=model_dir,
        database_url=f"sqlite:///{tmp_path}/predictions.db",
        environment="production",
        api_keys_file=tmp_path / "no-keys.json",
    )
    return create_app(settings)


def count(path: str, status: str) -> float:
    labels = {"path": path, "status": status}
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0.0


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("requests_rejected_total", {"reason": reason}) or 0.0


def test_every_response_has_an_id_of_the_services_own_and_the_security_headers(
    model_dir: Path, tmp_path: Path
) -> None:
    async def requests(client: httpx.AsyncClient) -> None:
        chosen = {"X-Request-ID": "0" * 32}
        responses = [await client.get(path, headers=chosen) for path in ("/", "/v1/model", "/no")]
        assert [response.status_code for response in responses] == [200, 200, 404]
        ids = {response.headers["x-request-id"] for response in responses}
        assert len(ids - {"0" * 32}) == 3
        for response in responses:
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in response.headers["content-security-policy"]

    use(app_of(model_dir, tmp_path), requests)


def test_paths_that_do_not_exist_are_counted_as_one(model_dir: Path, tmp_path: Path) -> None:
    before = count("other", "404")

    async def requests(client: httpx.AsyncClient) -> None:
        for number in range(3):
            await client.get(f"/{number}")

    use(app_of(model_dir, tmp_path), requests)
    assert count("other", "404") == before + 3


def test_a_bug_is_a_problem_that_says_nothing_of_it(model_dir: Path, tmp_path: Path) -> None:
    app = app_of(model_dir, tmp_path)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret")

    async def requests(client: httpx.AsyncClient) -> None:
        response = await client.get("/bug")
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert "secret" not in response.text
        assert len(response.headers["x-request-id"]) == 32
        assert response.headers["x-content-type-options"] == "nosniff"

    before = count("/bug", "500")
    use(app, requests)
    assert count("/bug", "500") == before + 1


def test_health_checks_are_quiet_and_refused_ones_of_the_metrics_are_not(
    model_dir: Path, tmp_path: Path
) -> None:
    async def requests(client: httpx.AsyncClient) -> None:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401

    before = count("/healthz", "200"), count("/metrics", "401")
    use(in_production(model_dir, tmp_path), requests)
    assert (count("/healthz", "200"), count("/metrics", "401")) == (before[0], before[1] + 1)


def test_without_a_model_a_stranger_learns_nothing_but_that_a_key_is_needed(
    tmp_path: Path, digit: bytes
) -> None:
    async def requests(client: httpx.AsyncClient) -> None:
        for path in ("/v1/predict", "/v1/model", "/v1/samples", "/v1/feedback"):
            method = "GET" if path in ("/v1/model", "/v1/samples") else "POST"
            response = await client.request(method, path, content=digit, headers=PNG)
            assert response.status_code == 401, path

    use(in_production(tmp_path / "no-model", tmp_path), requests)


def test_while_the_queue_is_full_predictions_are_refused_and_nothing_else(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    app = app_of(model_dir, tmp_path, max_queue_size=1)

    async def requests(client: httpx.AsyncClient) -> None:
        with app.state.serving.counted_as_waiting("", num_bytes=0):
            refused = await client.post("/v1/predict", content=digit, headers=PNG)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            # Before anything else of a request is looked at: else this would be 415.
            text = await client.post("/v1/predict", headers={"Content-Type": "text/plain"})
            assert text.status_code == 503
            assert (await client.get("/v1/model")).status_code == 200
        accepted = await client.post("/v1/predict", content=digit, headers=PNG)
        assert accepted.status_code == 200

    use(app, requests)


def test_a_queue_that_fills_while_a_body_comes_is_counted_as_a_refusal(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    app = app_of(model_dir, tmp_path, max_queue_size=1)

    async def requests(client: httpx.AsyncClient) -> None:
        with contextlib.ExitStack() as stack:

            async def body() -> AsyncIterator[bytes]:
                yield digit[:10]
                stack.enter_context(app.state.serving.counted_as_waiting("", num_bytes=0))
                yield digit[10:]

            response = await client.post("/v1/predict", content=body(), headers=PNG)
            assert response.status_code == 503

    before = refused("overload")
    use(app, requests)
    assert refused("overload") == before + 1


def test_a_key_that_has_its_part_of_the_queue_is_refused_before_it_is_verified(
    model_dir: Path, tmp_path: Path
) -> None:
    app = in_production(model_dir, tmp_path)

    async def requests(client: httpx.AsyncClient) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(224):  # seven eighths of 256
                stack.enter_context(app.state.serving.counted_as_waiting("mallory", num_bytes=0))
            for name, status in (("mallory", 503), ("ana", 401)):
                key = {"Authorization": f"Bearer {name}.secret"}
                response = await client.post("/v1/predict", headers=key)
                assert response.status_code == status

    use(app, requests)


@pytest.mark.parametrize(
    ("traceparent", "is_valid"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", True),
        (f"ff-{'a' * 32}-{'b' * 16}-01", False),
        (f"00-{'0' * 32}-{'b' * 16}-01", False),
        (f"00-{'a' * 32}-{'0' * 16}-01", False),
        ("nonsense", False),
    ],
)
def test_a_trace_is_noted_if_its_header_is_one_of_the_w3cs(
    traceparent: str, is_valid: bool
) -> None:
    scope = {"type": "http", "headers": [(b"traceparent", traceparent.encode())]}
    noted = {"trace_id": "a" * 32, "parent_id": "b" * 16}
    assert trace_of(scope) == (noted if is_valid else {})
