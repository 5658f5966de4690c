"""A session's requests are its own: cancelled together, and forgotten when they end."""

import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from apps import sessions
from mmgen.errors import BadRequest

ANN: Any = SimpleNamespace(session_hash="ann")
BOB: Any = SimpleNamespace(session_hash="bob")


def test_stop_cancels_the_sessions_requests_alone() -> None:
    made = sessions.Sessions()
    with made.request(ANN, "normal") as one, made.request(ANN, "batch") as two, made.request(BOB, "normal") as other:
        made.cancel(ANN)
        assert one.cancelled and two.cancelled and not other.cancelled
    assert made._running == {}


def test_who_leaves_early_cancels() -> None:
    made = sessions.Sessions()
    with pytest.raises(ZeroDivisionError), made.request(ANN, "normal") as request:
        _ = 1 // 0
    assert request.cancelled


def test_a_page_that_comes_back_keeps_its_requests_one_that_is_gone_does_not() -> None:
    pages = sessions.Pages(grace=0.01)
    made, name = sessions.Sessions(pages), "0123456789ab"
    pages.opened(name, ANN)
    with made.request(ANN, "normal") as request:
        assert request.user == name
        pages.closed(ANN)
        pages.opened(name, BOB)  # the same page after a reload
        pages._gone(f"local/{name}")
        assert not request.cancelled
        pages.closed(BOB)
        until = time.monotonic() + 20
        while not request.cancelled and time.monotonic() < until:
            time.sleep(0.01)
        assert request.cancelled


def test_a_page_without_a_proper_name_is_its_session() -> None:
    pages = sessions.Pages()
    pages.opened("../x", ANN)
    assert pages.page(ANN) == "ann"


def test_the_user_of_a_key() -> None:
    def http(user: str) -> Any:
        return SimpleNamespace(request=SimpleNamespace(state=SimpleNamespace(caller=SimpleNamespace(user=user))))

    assert sessions.key_of(http("ann")) == "ann" and sessions.key_of(http("local")) is None and sessions.key_of(None) is None


def test_errors_become_messages_of_the_page() -> None:
    with pytest.raises(gr.Error, match="the prompt is empty"), sessions.error_toasts():
        raise BadRequest("the prompt is empty")
