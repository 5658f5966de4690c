"""A call goes on while its page is away, and a page that comes back sees what it brought."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from apps.live_runs import LiveRuns
from apps.sessions import Pages

PAGE = "0123456789ab"


def session(name: str, pages: Pages) -> Any:
    http: Any = SimpleNamespace(session_hash=name)
    pages.opened(PAGE, http)
    return http


def test_a_reloaded_page_sees_the_end_and_the_files() -> None:
    pages, go_on, seen = Pages(), threading.Event(), []
    runs = LiveRuns(pages, 2)

    def steps(folder: Path) -> Iterator[tuple[Any, ...]]:
        (folder / "image").write_text("drawn")
        yield str(folder / "image"), "begun"
        go_on.wait(20)
        yield gr.skip(), "ended"

    followed = runs.start(session("before", pages), steps)
    seen.append(next(followed))
    pages.closed(SimpleNamespace(session_hash="before"))  # type: ignore[arg-type]
    resumed = runs.resume(session("after", pages))
    first = next(resumed)
    go_on.set()
    assert first == seen[0] and first[1] == "begun" and list(resumed) == [(gr.skip(), "ended")]
    (again,) = runs.resume(session("later", pages))
    assert again == (first[0], "ended") and Path(again[0]).read_text() == "drawn"
    pages._gone(f"local/{PAGE}")
    assert Path(again[0]).exists(), "the page is open"
    pages._pages.clear()
    pages._gone(f"local/{PAGE}")
    del followed, resumed, seen
    gc.collect()
    assert not Path(again[0]).exists() and list(runs.resume(session("new", pages))) == [(gr.skip(), gr.skip())]


def test_a_call_that_fails_leaves_what_was_there() -> None:
    runs, http = LiveRuns(Pages(), 2), SimpleNamespace(session_hash="me")

    def drawn(folder: Path) -> Iterator[tuple[Any, ...]]:
        (folder / "image").write_text("drawn")
        yield str(folder / "image"), "done"

    def failed(_: Path) -> Iterator[tuple[Any, ...]]:
        yield gr.skip(), "trying"
        raise gr.Error("no")

    ((image, _),) = runs.start(http, drawn)  # type: ignore[arg-type]
    with pytest.raises(gr.Error):
        assert list(runs.start(http, failed)) == [(gr.skip(), "trying")]  # type: ignore[arg-type]
    resumed = runs.resume(http)  # type: ignore[arg-type]
    assert next(resumed) == (image, "trying") and Path(image).read_text() == "drawn"
    del resumed
    list(runs.start(http, drawn))  # type: ignore[arg-type]
    gc.collect()
    assert not Path(image).exists()


def test_what_a_call_raises_is_raised_where_it_is_followed() -> None:
    runs = LiveRuns(Pages(), 1)

    def steps(_: Path) -> Iterator[tuple[Any, ...]]:
        yield ("half",)
        raise gr.Error("no")

    with pytest.raises(gr.Error, match="no"):
        list(runs.start(SimpleNamespace(session_hash="me"), steps))  # type: ignore[arg-type]


def test_files_of_a_call_that_goes_on_stay_until_it_ends() -> None:
    runs, go_on, ended = LiveRuns(Pages(), 1), threading.Event(), threading.Event()
    http: Any = SimpleNamespace(session_hash="me")

    def steps(folder: Path) -> Iterator[tuple[Any, ...]]:
        yield ("",)
        go_on.wait(20)
        (folder / "late").write_text("written")
        ended.set()

    next(runs.start(http, steps))
    next(runs.start(http, lambda folder: iter([(str(folder),)])))
    go_on.set()
    assert ended.wait(20)
