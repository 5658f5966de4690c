"""Messages survive the way, and half of one is told from the end."""

import io

import pytest

from mmgen.ingest.extraction.frames import BadFrame, receive, send


def test_messages_come_as_they_were_sent() -> None:
    pipe = io.BytesIO()
    send(pipe, {"path": "a.txt"}, b"\0\1")
    send(pipe, {"done": 1})
    pipe.seek(0)
    assert [receive(pipe), receive(pipe), receive(pipe)] == [({"path": "a.txt"}, b"\0\1"), ({"done": 1}, b""), None]


@pytest.mark.parametrize("kept", [3, 18, 30])
def test_half_a_message_is_no_message(kept: int) -> None:
    pipe = io.BytesIO()
    send(pipe, {"path": "a.txt"}, b"abcdef")
    with pytest.raises(BadFrame):
        receive(io.BytesIO(pipe.getvalue()[:kept]))


def test_a_message_may_be_too_long() -> None:
    pipe = io.BytesIO()
    send(pipe, {}, b"x" * 100)
    pipe.seek(0)
    with pytest.raises(BadFrame, match="of 102 bytes, the limit is 50"):
        receive(pipe, lambda: 50)
