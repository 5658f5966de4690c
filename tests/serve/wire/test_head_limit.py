"""Heads of requests on a real socket."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI
from local_server import listening

from mmgen.serve.wire import head_limit
from mmgen.serve.wire.head_limit import BoundedProtocol


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = FastAPI()
    app.state.settings = type("Settings", (), {"drain_s": 1})

    @app.get("/")
    def here() -> str:
        return "here"

    with listening(app) as address:
        yield int(address.rpartition(":")[2])


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def told(client: socket.socket) -> bytes:
    try:
        return client.recv(10_000)
    except ConnectionResetError:  # it hung up while more was being sent
        return b"HTTP/1.1 431"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * 2**20 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * 2**20,  # and no end
        b"GET /" + b"y" * 2**20 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["many", "large", "endless", "url"],
)
def test_heads_over_the_limit(port: int, head: bytes) -> None:
    with connected(port) as client:
        try:
            client.sendall(head)
        except ConnectionError:
            return
        assert told(client).startswith(b"HTTP/1.1 431")


def test_heads_within_the_limit(port: int) -> None:
    with connected(port) as client:
        for _ in range(3):  # on one connection
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"x: " + b"y" * 30_000 + b"\r\n" + b"x: y\r\n" * 90 + b"\r\n"
            )
            assert told(client).startswith(b"HTTP/1.1 200")


def test_heads_that_do_not_come(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_s", 0.05)
    assert head_limit.HEAD_S >= 5
    for sent in (b"", b"GET / HTTP/1.1\r\nHo"):
        with connected(port) as client:
            client.sendall(sent)
            began = time.monotonic()
            assert told(client).startswith(b"HTTP/1.1 408") and time.monotonic() - began < 5
