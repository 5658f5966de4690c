"""The server on its socket."""

import pytest

from mmgen.errors import BadRequest
from mmgen.serve import running


def test_an_address_that_cannot_be_had() -> None:
    with running.listen("127.0.0.1", 0) as taken, pytest.raises(BadRequest, match="cannot be had"):
        running.listen("127.0.0.1", taken.getsockname()[1])


def test_a_signal_ends_new_work_at_once(make_app: object) -> None:
    app = make_app()  # type: ignore[operator]
    server = running.server(app)
    server.handle_exit(15, None)
    assert server.should_exit and app.state.live.closed
