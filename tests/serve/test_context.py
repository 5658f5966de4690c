"""What a route is told of its caller, and what it keeps."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Forbidden, StoreError
from mmgen.serve.context import Caller, Context
from mmgen.serve.request_tracker import RequestTracker


def made(history: Any, caller: Caller | None = None) -> Context:
    app = SimpleNamespace(state=SimpleNamespace(history=history))
    return Context(SimpleNamespace(app=app, state=SimpleNamespace()), None, caller or Caller("ann"), RequestTracker(9))  # type: ignore[arg-type]


def test_scopes_and_stores() -> None:
    caller = Caller("ann", frozenset({"stores"}), frozenset({"notes"}))
    caller.check("stores", "notes")
    caller.check("stores")
    with pytest.raises(Forbidden, match='not for "stores:write"'):
        caller.check("stores:write", "notes")
    with pytest.raises(Forbidden, match='may not use store "work"'):
        caller.check("stores", "work")


@pytest.mark.parametrize(
    "name", ["../notes", "/etc", "~", "~root", "a/b", "a\\b", "..", ".", "", "a\0b", "notes/", "-x", "a" * 101]
)
def test_a_store_is_no_path(name: str) -> None:
    """Not even for who may use all."""
    with pytest.raises(BadRequest, match="is no name"):
        Caller().check("stores", name)


def test_what_is_kept() -> None:
    kept: list[Any] = []
    context = made(SimpleNamespace(add=lambda *given: kept.append(given)))
    request = context.begin("txt2img", "images")
    context.keep(request, {"prompt": "tea"}, {"seed": 1}, {"a.png": b"x"})
    context.tracker.end(request)
    context.keep(request, {}, {})
    assert kept[0] == ("ann", request.id, "txt2img", {"prompt": "tea"}, {"seed": 1}, {"a.png": b"x"})
    assert kept[1][-1] is None and made(None).keep(Request(), {}, {}) is None


def test_an_answer_does_not_hang_on_its_history(caplog: pytest.LogCaptureFixture) -> None:
    def full(*given: Any) -> None:
        raise StoreError("the disk is full")

    context = made(SimpleNamespace(add=full))
    with caplog.at_level(logging.WARNING):
        context.keep(context.begin("chat", "chat"), {"prompt": "a secret"}, {})
    assert "the disk is full" in caplog.text and "a secret" not in caplog.text


def test_scopes_are_looked_at_before_all_else() -> None:
    context = made(None, Caller("ann", frozenset({"chat"})))
    with pytest.raises(Forbidden):
        context.begin("txt2img", "images")
    assert len(context.tracker) == 0
