"""The axes of an X/Y plot: an option of the call and its values, such as "steps=4,8,20", and the calls of its cells."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmgen.errors import BadRequest, nearest
from mmgen.image_params import MAX_IMAGES, ImageParams
from mmgen.pipelines.signature import alternatives, declared

FIXED = frozenset({"image", "mask", "n", "best_of", "x", "y", "preview_every", "control", "image_prompt", "reference_image"})
"""Options that are one for all cells."""
VARIED = {one.name: one for one in declared(ImageParams) if one.name not in FIXED}
NAMES = {"cfg": "guidance", "cfg_scale": "guidance", "sampler": "solver", "negative_prompt": "negative"}
"""What other tools call them."""


@dataclass(frozen=True)
class Axis:
    """One option and the values it takes along a side of the plot."""

    option: str
    values: tuple[Any, ...]

    @classmethod
    def read(cls, text: str) -> Axis:
        """From OPTION=VALUE,VALUE,...; values with commas are parted by | instead. Raises BadRequest for another text."""
        name, equals, said = text.partition("=")
        option = NAMES.get(asked := name.strip().lstrip("-").lower().replace("-", "_").replace(" ", "_"), asked)
        if option not in VARIED:
            hint = nearest(option, list(VARIED))
            raise BadRequest(f"a plot's axis is {text[:60]!r}{hint}; write OPTION=VALUE,VALUE with one of {', '.join(VARIED)}")
        values = [one.strip() for one in said.split("|" if "|" in said else ",") if one.strip()]
        if not equals or not values:
            raise BadRequest(f"the plot's axis {text[:60]!r} has no values; write some, such as {option}=4,8,20")
        return cls(option, tuple(_value(option, one) for one in values))

    def labels(self) -> list[str]:
        return [f"{self.option}: {value:g}" if isinstance(value, float) else f"{self.option}: {value}" for value in self.values]

    def at(self, params: ImageParams, value: Any) -> ImageParams:
        """The call with that value. Prompts are searched for the axis's first value, which the others replace.

        Raises BadRequest for a prompt without it, and what ImageParams raises for the value.
        """
        if self.option in ("prompt", "negative"):
            text, first = getattr(params, self.option), self.values[0]
            if first not in text:
                told = f"{self.option} holds no {first[:40]!r}, the first value of the plot's axis"
                raise BadRequest(f"{told}; it has to stand there, and the others replace it")
            value = text.replace(first, value)
        return replace(params, **{self.option: value})


def cells(asked: Sequence[ImageParams], taken: Collection[str] = tuple(VARIED)) -> list[ImageParams]:
    """The calls of a plot's cells, row by row; calls without axes as they are. `taken`: options that the call has.

    Raises BadRequest for more than one prompt or image beside axes, for both axes of one option, and for one not `taken`.
    """
    if not asked or not (asked[0].x or asked[0].y):
        return list(asked)
    across, down = (Axis.read(one) if one else None for one in (asked[0].x, asked[0].y))
    for axis in filter(None, (across, down)):
        if axis.option not in taken:
            raise BadRequest(f"the plot's axis is {axis.option}, which this call does not take; take another option")
    if len(asked) > 1 or asked[0].n > 1 or asked[0].best_of > 1:
        raise BadRequest("a plot has one image a cell; give one prompt, n 1 and best_of 1, or an axis such as seed=1,2,3")
    if across and down and across.option == down.option:
        raise BadRequest(f"both axes of the plot are {across.option}; take another option for one of them")
    count = (len(across.values) if across else 1) * (len(down.values) if down else 1)
    if count > MAX_IMAGES:
        raise BadRequest(f"the plot has {count} cells; draw {MAX_IMAGES} images at most at once")
    rows = [asked[0]] if down is None else [down.at(asked[0], value) for value in down.values]
    return rows if across is None else [across.at(one, value) for one in rows for value in across.values]


def _value(option: str, text: str) -> Any:
    """As the option's type has it. Raises BadRequest for what is none."""
    (kind,) = {one for one in alternatives(VARIED[option].annotation) if one in (int, float, str, bool)} or {str}
    if kind is bool:
        return text.lower() in ("true", "yes", "1", "on")
    try:
        return kind(text)
    except ValueError:
        named = "a whole number" if kind is int else "a number"
        raise BadRequest(f"the plot's axis {option} has the value {text[:40]!r}; it should be {named}") from None
