"""Clients that are slow, hang up or send without end cost nobody else a response."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from my_project.serving import protocol
from my_project.serving.metrics import render

from ..serving_helpers import PNG, eventually, free_port, running_server
from .clients import clients, connect, head_of, metric, more, status_of

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir, max_body_bytes=100_000) as client:
        yield client


def test_responses_without_a_body_and_requests_in_a_row_come_whole_and_in_order(
    client: httpx.Client,
) -> None:
    head, health, style = (
        f"{request} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode()
        for request, headers in (
            ("HEAD /static/page.css", ""),
            ("GET /healthz", ""),
            ("GET /static/page.css", "Connection: close\r\n"),
        )
    )
    with connect(client) as server:
        server.sendall(head)
        assert server.recv(65536).endswith(b"\r\n\r\n")  # before there is anything after it
        server.sendall(health + style)
        responses = b"".join(iter(lambda: server.recv(65536), b""))
    first, second = responses.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert first.endswith(b'{"status":"ok"}')
    assert second.endswith(client.get("/static/page.css").content)


def test_a_body_of_unannounced_length_is_cut_off_while_it_streams(client: httpx.Client) -> None:
    chunks = (bytes(10_000) for _ in range(1_000_000))  # 10 GB, if nobody stops it
    try:
        response = client.post("/v1/predict", content=chunks, headers=PNG)
    except httpx.WriteError:
        return  # refused before the client had read the response
    assert response.status_code == 413
    assert "100,000" in response.json()["detail"]


def test_clients_that_hang_up_leave_nothing_behind(client: httpx.Client, digit: bytes) -> None:
    head = head_of(digit)
    with clients(client.base_url, digit) as results:
        for part in (head, head + digit[:50], head + digit) * 20:
            with connect(client) as connection:
                connection.sendall(part)
        more(results)
    assert set(results) == {"200"}
    # Those who hung up while they waited count as waiting no more.
    assert eventually(lambda: metric(client, "prediction_queue_depth") == 0)


def test_clients_that_send_a_byte_now_and_then_are_timed_out_and_hold_nobody_up(
    model_dir: Path, digit: bytes
) -> None:
    endless_head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: "
    endless_body = head_of(bytes(4000))  # as much as feedback may have
    with (
        running_server(model_dir, max_queue_size=8, request_timeout_seconds=3) as server,
        contextlib.ExitStack() as stack,
    ):
        slow = [stack.enter_context(connect(server)) for _ in range(32)]
        in_head, in_body = slow[:16], slow[16:]
        for connection in in_head:
            connection.sendall(endless_head)
        for connection in in_body[:8]:
            connection.sendall(endless_body)
        for connection in in_body[8:]:
            connection.sendall(endless_body.replace(b"predict", b"feedback"))
        with clients(server.base_url, digit) as results:

            def all_are_timed_out() -> bool:
                for connection in slow:
                    with contextlib.suppress(OSError):  # it has been closed
                        connection.sendall(b"a")
                more(results, 20)
                paths = ("predict", "feedback")
                series = [f'http_requests_total{{path="/v1/{p}",status="408"}}' for p in paths]
                return [metric(server, name) for name in series] == [8, 8]

            assert eventually(all_are_timed_out)
            more(results)
        assert set(results) == {"200"}
        assert {first_bytes(connection)[-3:] for connection in in_body} == {b"408"}
        assert {first_bytes(connection) for connection in in_head} == {b""}  # closed


def send_for_ever(connection: socket.socket, data: bytes) -> None:
    for _ in range(10_000):  # 80 MB, if nobody stops it
        connection.sendall(data)


def test_a_head_without_end_is_cut_off(client: httpx.Client) -> None:
    filler = b"X-Long: " + b"a" * 8000 + b"\r\n"
    with connect(client) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        with pytest.raises(ConnectionError):
            send_for_ever(connection, filler)
    assert metric(client, 'requests_rejected_total{reason="head"}') == 1


@pytest.mark.parametrize("filler", [b"a:\r\n" * 2000, b"a" * 8000])
def test_fields_behind_a_chunked_body_are_cut_off(client: httpx.Client, filler: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(b"POST /v1/model HTTP/1.1\r\nHost: a\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        with pytest.raises(ConnectionError):
            send_for_ever(connection, filler)
    assert client.get("/healthz").status_code == 200


def test_requests_in_a_row_are_not_queued_without_end(client: httpx.Client) -> None:
    with connect(client) as connection, pytest.raises(ConnectionError):
        send_for_ever(connection, 200 * REQUEST)
    assert metric(client, 'requests_rejected_total{reason="pipelined"}') == 1


@contextlib.contextmanager
def unread(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> Iterator[tuple[socket.socket, ServerState]]:
    """A connection by the service's protocol, with a second for each time-out.

    All that its server has to say is `body`.
    """

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    monkeypatch.setattr(protocol, "CLIENT_READ_SECONDS", 1)
    config = uvicorn.Config(
        application,
        port=free_port(),
        lifespan="off",
        http=protocol.LimitedHttpProtocol,
        timeout_keep_alive=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started)
        with socket.create_connection(("127.0.0.1", config.port)) as connection:
            assert eventually(lambda: server.server_state.connections)
            yield connection, server.server_state
    finally:
        server.force_exit = server.should_exit = True
        thread.join()


def test_who_does_not_read_a_response_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with unread(monkeypatch, bytes(50_000_000)) as (connection, server):  # no system takes that
        connection.sendall(REQUEST)
        assert eventually(lambda: not server.connections)
    assert b'requests_rejected_total{reason="unread"} 1.0' in render()


def test_who_leaves_the_end_of_a_response_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with unread(monkeypatch, bytes(60_000)) as (connection, server):
        (client,) = server.connections

        def the_system_is_full() -> bool:
            if client.transport.get_write_buffer_size():
                return True
            connection.sendall(REQUEST)
            return False

        assert eventually(the_system_is_full)
        assert eventually(lambda: not server.connections)


def test_a_request_to_switch_to_websocket_is_answered_as_any_other(
    model_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = (
        b"GET /static/page.css HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n"
    )
    with running_server(model_dir) as server, connect(server) as connection:
        connection.sendall(request)
        assert status_of(connection) == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def first_bytes(connection: socket.socket) -> bytes:
    try:
        return connection.recv(12)
    except ConnectionResetError:  # closed while something was on its way there
        return b""


def test_each_request_of_a_connection_has_its_own_time(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    settings = {"environment": "production", "api_keys_file": tmp_path / "none.json"}
    with running_server(model_dir, request_timeout_seconds=2, **settings) as server:
        with connect(server) as connection:
            start = time.monotonic()
            while time.monotonic() < start + 3:  # longer than one may take
                connection.sendall(head_of(digit))
                assert status_of(connection) == 401  # before there is a body
                connection.sendall(digit)
        with connect(server) as connection:
            connection.sendall(REQUEST)
            assert status_of(connection) == 200
            connection.sendall(b"\r\n")  # begins no request
            assert connection.recv(65536) == b""  # closed
