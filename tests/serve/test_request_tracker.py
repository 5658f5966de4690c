"""The requests under way."""

import threading

import pytest

from mmgen.errors import Closed, NotFound
from mmgen.serve import request_tracker
from mmgen.serve.errors import RetryLater
from mmgen.serve.request_tracker import RequestTracker


def test_a_request_from_beginning_to_end() -> None:
    one = RequestTracker(2)
    request = one.begin("chat", "ann", "interactive")
    assert (request.user, request.priority, len(one), one.get(request.id).state) == ("ann", "interactive", 1, "running")
    one.end(request)
    one.end(request, ValueError("later ends do not count"))
    assert (len(one), one.get(request.id).state, one.kind(request.id)) == (0, "done", "chat")
    failed, cancelled = one.begin("chat", "ann", "normal"), one.begin("chat", "ann", "normal")
    one.end(failed, ValueError("why"))
    cancelled.cancel()
    one.end(cancelled, ValueError("cancelled"))
    assert [(one.get(r.id).state, one.get(r.id).error) for r in (failed, cancelled)] == [
        ("failed", "why"), ("cancelled", "cancelled"),
    ]  # fmt: skip


def test_streams_are_counted_until_they_end() -> None:
    one = RequestTracker(3)
    first, second, whole = (one.begin("chat", "ann", "normal") for _ in range(3))
    for request in (first, second, first):
        one.stream(request)
    assert (one.streams, len(one)) == (2, 3)
    for request in (whole, first, first):
        one.end(request)
    one.stream(first)
    assert (one.streams, len(one)) == (1, 1)


def test_as_many_as_it_takes() -> None:
    one = RequestTracker(1, lambda: 7.0)
    request = one.begin("chat", "ann", "normal")
    with pytest.raises(RetryLater, match="1 requests are under way") as caught:
        one.begin("chat", "bob", "normal")
    assert caught.value.retry_after == 7.0
    one.end(request)
    one.end(one.begin("chat", "bob", "normal"))
    one.close()
    with pytest.raises(Closed):
        one.begin("chat", "bob", "normal")


def test_draining() -> None:
    one = RequestTracker(2)
    request = one.begin("chat", "ann", "normal")
    assert not one.drained(0.01)
    threading.Timer(0.05, one.end, [request]).start()
    assert one.drained(5)
    other = one.begin("chat", "ann", "normal")
    one.cancel_all()
    assert other.cancelled and not request.cancelled


def test_old_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_tracker, "REMEMBERED", 3)
    one = RequestTracker(1)
    ids = []
    for _ in range(20):
        request = one.begin("chat", "ann", "normal")
        ids.append(request.id)
        one.end(request)
    assert 3 <= len(one.entries()) <= 8 and one.get(ids[-1])
    with pytest.raises(NotFound, match="there is no request"):
        one.get(ids[0])


def test_errors_are_kept_as_they_can_be_told() -> None:
    one = RequestTracker(2)
    request = one.begin("chat", "ann", "normal")
    one.end(request, ValueError("\ud800" + "x" * 10_000))
    assert one.get(request.id).error == "?" + "x" * (request_tracker.LONGEST - 1)
