"""Clients that load the service, and connections of one's own to send what no client would."""

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse

import httpx

from ..serving_helpers import PNG, eventually


@contextlib.contextmanager
def clients(url: httpx.URL, digit: bytes, number: int = 4) -> Iterator[Counter[str]]:
    """Clients that send requests without a pause, each by a new connection.

    Yields:
        How often they got which status, or which error in place of a response.
    """
    results: Counter[str] = Counter()
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            connection = HTTPConnection(url.host, url.port, timeout=60)
            try:
                connection.request("POST", "/v1/predict", digit, PNG)
                results[str(connection.getresponse().status)] += 1
            except (OSError, HTTPException) as error:
                results[type(error).__name__] += 1
                done.wait(0.01)
            finally:
                connection.close()

    threads = [threading.Thread(target=send) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        done.set()
        for thread in threads:
            thread.join()


def more(results: Counter[str], number: int = 50) -> None:
    """Wait for so many more predictions."""
    goal = results["200"] + number
    assert eventually(lambda: results["200"] >= goal), results


def connect(server: httpx.Client) -> socket.socket:
    """A connection of one's own to the server."""
    return socket.create_connection(("127.0.0.1", server.base_url.port or 0), timeout=60)


def status_of(connection: socket.socket) -> int:
    """Read one response, and give its status."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def head_of(image: bytes, *, expect_continue: bool = False) -> bytes:
    """The head of a request for a prediction, whose body is the image.

    expect_continue: the server says `100 Continue` when it has read the head.
    """
    length = f"Content-Length: {len(image)}"
    expect = "Expect: 100-continue\r\n" if expect_continue else ""
    return f"POST /v1/predict HTTP/1.1\r\nHost: a\r\n{expect}{length}\r\n\r\n".encode()


def metric(server: httpx.Client, series: str) -> float:
    """The value of a series such as `predictions_total{label="3"}`; 0 where there is none."""
    text = server.get("/metrics").text
    found = re.search(rf"^{re.escape(series)} (\S+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0
