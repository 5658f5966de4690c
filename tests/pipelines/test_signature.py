"""A pipeline's parameters, from its signature and docstring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from mmgen.errors import PluginError
from mmgen.pipelines.signature import alternatives, read, split_docstring

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


def draw(rt: Runtime, prompt: str, grid: int = 32, *, mode: Literal["a", "b"] = "a", request: Any = None, **rest: Any) -> str:
    """Draws it.

    It takes a while:
    Note: this is prose.

    prompt: what to draw,
        in words.
    grid, mode: how.
    """
    return prompt


class Maker:
    """Makes things.

    where: a folder.
    """

    def __init__(self, rt: Runtime, where: Path | None = None) -> None:
        """Opens it."""

    def __call__(self, what: Sequence[str], where_to: str = "x") -> None:
        """One thing.

        Args:
            what: names.
            where_to: a place, which
                is far.
        """


def test_a_function() -> None:
    found = read("draw", draw)
    assert str(found) == "draw(prompt: str, grid: int = 32, mode: Literal['a', 'b'] = 'a')"
    assert found.text == "Draws it.\n\nIt takes a while:\nNote: this is prose."
    assert [p.help for p in found.parameters] == ["what to draw, in words.", "how.", "how."]
    assert [p.required for p in found.parameters] == [True, False, False]
    assert {p.stage for p in found.parameters} == {"call"}


def test_a_class_has_two_stages() -> None:
    found = read("maker", Maker)
    assert [(p.name, p.stage) for p in found.parameters] == [("what", "call"), ("where", "make"), ("where_to", "call")]
    assert [p.help for p in found.parameters] == ["names.", "a folder.", "a place, which is far."]
    assert found.text == "Makes things." and found.parameters[0].annotation == Sequence[str]


def test_a_parameter_without_a_type_has_its_defaults() -> None:
    def loose(rt, text, count=3, maybe=None):  # type: ignore[no-untyped-def]
        pass

    assert str(read("loose", loose)) == "loose(text: str, count: int = 3, maybe: str = None)"


def test_a_type_that_only_type_checkers_know() -> None:
    def bad(rt: Runtime, other: Runtime) -> None:
        pass

    with pytest.raises(PluginError, match='pipeline "bad": the type Runtime of other is unknown at run time'):
        read("bad", bad)


def test_neither_class_nor_function() -> None:
    with pytest.raises(PluginError, match='pipeline "three" is a int; it should be a class or a function'):
        read("three", 3)


def test_only_parameters_are_taken_out_of_the_prose() -> None:
    prose, helps = split_docstring("One.\n\nk: how many.\nWarning: hot.\n  k: not this", ["k"])
    assert helps == {"k": "not this"} and prose == "One.\n\nWarning: hot."


def test_alternatives_of_a_union() -> None:
    assert alternatives(Annotated[int | None, "x"]) == [int]
    assert alternatives(str | Sequence[int] | None) == [str, Sequence[int]]
    assert alternatives(float) == [float]
