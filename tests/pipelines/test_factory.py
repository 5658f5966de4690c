"""`mmgen.pipeline`: by name, bound to a runtime, every mistake with the nearest name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mmgen
from mmgen import plugins
from mmgen.errors import BadRequest, NotFound, PluginError
from mmgen.registry import Registry
from mmgen.runtime import Runtime


def echo(rt: Any, text: str, times: int = 1) -> tuple[Any, str]:
    """Says it again."""
    return rt, text * times


class Counter:
    """Counts from somewhere."""

    def __init__(self, rt: Any, *, start: int = 0) -> None:
        self.rt, self.start = rt, start

    def __call__(self, by: int) -> int:
        return self.start + by


def register(mm: Registry) -> None:
    mm.pipelines.add("echo", f"{__name__}:echo")
    mm.pipelines.add("counter", f"{__name__}:Counter")
    mm.pipelines.add("gone", f"{__name__}:gone")


@pytest.fixture
def rt(plug: Callable[..., None]) -> Iterator[Runtime]:
    plug(tests=register)
    with Runtime() as runtime:
        yield runtime


def test_a_function_is_bound(rt: Runtime) -> None:
    said = mmgen.pipeline("echo", runtime=rt)
    assert said("ab", times=2) == (rt, "abab")
    assert said.__doc__ == "Says it again." and list(inspect.signature(said).parameters) == ["text", "times"]
    assert mmgen.pipeline("echo", runtime=rt, times=3)("a") == (rt, "aaa")


def test_a_class_is_made(rt: Runtime) -> None:
    counter = mmgen.pipeline("counter", runtime=rt, start=5)
    assert isinstance(counter, Counter) and counter(2) == 7 and counter.rt is rt


def test_without_a_runtime_it_is_the_processs_own(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtime, "_shared", rt)
    assert mmgen.pipeline("echo")("x") == (rt, "x")


def test_mistakes(rt: Runtime) -> None:
    with pytest.raises(NotFound, match=r'there is no pipeline "eco" \(did you mean "echo"\?\)'):
        mmgen.pipeline("eco", runtime=rt)
    with pytest.raises(BadRequest, match=r'counter has no option "strat" \(did you mean "start"\?\)'):
        mmgen.pipeline("counter", runtime=rt, strat=1)
    with pytest.raises(BadRequest, match=r'counter has no option "by" \(known: start\)'):
        mmgen.pipeline("counter", runtime=rt, by=1)
    with pytest.raises(PluginError, match='pipeline "gone" of tests cannot be imported'):
        mmgen.pipeline("gone", runtime=rt)


def test_rag_text_is_there(home: Any) -> None:
    plugins.registry.cache_clear()
    with Runtime() as runtime:
        rag = mmgen.pipeline("rag-text", runtime=runtime, store="notes")
        assert rag.library.path == home / "stores" / "notes"
        with pytest.raises(BadRequest, match=r'rag-text has no option "stroe" \(did you mean "store"\?\)'):
            mmgen.pipeline("rag-text", runtime=runtime, stroe="notes")
