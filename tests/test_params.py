"""Fields declared once: their limits, and the signatures made of them."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mmgen.errors import MmgenError
from mmgen.params import check, infos, param, takes

Colour = Literal["red", "blue"]


@dataclass(frozen=True)
class Brush:
    """How to paint."""

    width: float = param(1.0, "of a stroke.", least=0, most=9, above=True)
    colour: Colour = param("red", "of the paint.", kind=Colour)  # noqa: RUF009  a field
    seed: int | None = param(None, "the same seed paints the same.", least=0)
    name: str = param("", "of the brush.", longest=8, text="brush's name")
    inner: int = 0  # nobody's to say

    def __post_init__(self) -> None:
        check(self)


class Painter:
    """Paints."""

    @takes(Brush, leave_out=["seed"], width=2.0)
    def paint(self, what: str, params: Brush, *, loud: bool = False) -> tuple[str, Brush, bool]:
        """Paints it.

        what: a thing.
        """
        return what, params, loud


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"width": 0}, "width is 0; it can be above 0 to 9"),
        ({"width": 10}, "width is 10; it can be above 0 to 9"),
        ({"width": math.nan}, "width is nan; "),
        ({"width": True}, "width is True; "),
        ({"width": "wide"}, "width is 'wide'; "),
        ({"seed": math.inf}, "seed is inf; "),
        ({"colour": "mauve"}, "colour is 'mauve'; it can be red, blue"),
        ({"colour": "bleu"}, "colour is 'bleu' (did you mean \"blue\"?); it can be red, blue"),
        ({"colour": None}, "colour is None; it can be red, blue"),
        ({"name": "x" * 9}, "the brush's name is 9 characters; 8 are read at most, shorten it"),
        ({"name": 3}, "the brush's name is 3; it should be a text"),
    ],
    ids=str,
)
def test_limits(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(MmgenError) as caught:
        Brush(**wrong)
    assert str(caught.value).startswith(told)


def test_fields_without_help_are_not_the_callers() -> None:
    assert list(infos(Brush)) == list(infos(Brush())) == ["width", "colour", "seed", "name"]


def test_a_method_takes_them_as_keywords() -> None:
    assert Painter().paint("a door", colour="blue") == ("a door", Brush(2.0, "blue"), False)
    assert Painter().paint("a door", width=3.0, loud=True) == ("a door", Brush(3.0), True)


def test_or_whole() -> None:
    brush = Brush(4.0, seed=1)
    assert Painter().paint("a door", params=brush)[1] is brush
    with pytest.raises(TypeError, match=r"^paint\(\) takes params or width, not both$"):
        Painter().paint("a door", params=brush, width=1.0)


def test_its_signature_and_docstring_name_them() -> None:
    found = inspect.signature(Painter().paint).parameters
    assert list(found) == ["what", "width", "colour", "name", "loud"]
    assert (found["width"].default, found["width"].annotation) == (2.0, float)
    told = "width: of a stroke.\ncolour: of the paint.\nname: of the brush."
    assert (Painter.paint.__doc__ or "").endswith(f"what: a thing.\n\n{told}")
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'"):
        Painter().paint("a door", seed=1)
