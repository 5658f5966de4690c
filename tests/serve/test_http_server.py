"""The server on its socket."""

import socket

import pytest

from mmgen.errors import BadRequest
from mmgen.serve import http_server


def test_an_address_that_cannot_be_had() -> None:
    with http_server.listen("127.0.0.1", 0) as taken, pytest.raises(BadRequest, match="cannot be had"):
        http_server.listen("127.0.0.1", taken.getsockname()[1])


def test_answers_are_sent_at_once() -> None:
    with http_server.listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_signal_ends_new_work_at_once(make_app: object) -> None:
    app = make_app()  # type: ignore[operator]
    server = http_server.server(app)
    server.handle_exit(15, None)
    assert server.should_exit and app.state.tracker.closed
