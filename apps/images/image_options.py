"""The options of an image call as a form: a component for every field of ImageParams that has no other place on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from mmgen import image_params
from mmgen.errors import BadRequest
from mmgen.image_params import SAMPLERS
from mmgen.pipelines.signature import Parameter, alternatives, declared

ELSEWHERE = frozenset(
    {
        "image",
        "mask",
        "prompt",
        "negative",
        "strength",
        "n",
        "best_of",
        "seed",
        "guidance_rescale",
        "style",
        "preview_every",
        "control",
        "image_guidance",
        "image_prompt",
        "reference_image",
    }
)
"""Options that stand elsewhere on the page, or that it leaves at their defaults."""
OPTIONS = tuple(one for one in declared(image_params.ImageParams) if one.name not in ELSEWHERE)
OWN = "model default"
"""What an empty field says where the field's default is the model's choice."""
EMPTY = {"only_masked": "the whole image"}
"""And of others."""


def component(one: Parameter) -> Any:
    """What asks for it, with its default in place."""
    info = one.info
    value = one.default
    told: dict[str, Any] = {"label": label(one), "elem_id": f"draw-{one.name}"}
    kinds = alternatives(one.annotation)
    if info.slider is not None and value is not None:
        low, high, step = info.slider
        return gr.Slider(low, high, value, step=step, **told)
    if info.choices:
        names = [(SAMPLERS.get(name, name), name) for name in info.choices]
        return gr.Dropdown([("Model default", ""), *names], value=value or "", **told)
    if bool in kinds:
        return gr.Checkbox(bool(value), **told)
    if int in kinds or float in kinds:
        if value is None:
            return gr.Textbox("", placeholder=EMPTY.get(one.name, OWN), **told)  # gr.Number shows nothing as 0
        return gr.Number(value, precision=None if float in kinds else 0, **told)
    return gr.Textbox(value or "", info=one.help[:1].upper() + one.help[1:], **told)


def shown(one: Parameter, value: Any) -> Any:
    """What its component shows for a value of ImageParams; None: the default."""
    if one.info.choices:
        return value or ""
    if one.default is None:
        return "" if value is None else f"{value:g}" if isinstance(value, int | float) else value
    return one.default if value is None else value


def label(one: Parameter) -> str:
    return one.info.label or one.name.replace("_", " ").capitalize()


def values(given: Sequence[Any]) -> dict[str, Any]:
    """What the components of OPTIONS hold, as the pipelines take it."""
    return {one.name: _value(one, answer) for one, answer in zip(OPTIONS, given, strict=True)}


def _value(one: Parameter, answer: Any) -> Any:
    if answer in ("", None):
        return one.default
    kinds = alternatives(one.annotation)
    if not isinstance(answer, str) or str in kinds:
        return int(answer) if kinds == [int] else answer
    try:
        return int(answer) if float not in kinds else float(answer)
    except ValueError:
        raise BadRequest(f"{label(one)} is {answer[:40]!r}; it is a number, or empty for the model's own") from None
