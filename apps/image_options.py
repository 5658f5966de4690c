"""The options of an image call as a form: a component for every field of ImageParams that has no other place on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from mmgen import image_params
from mmgen.clients.denoiser import GUIDANCE, STEPS
from mmgen.pipelines.signature import Parameter, alternatives, declared

ELSEWHERE = frozenset(
    {
        "image",
        "mask",
        "prompt",
        "strength",
        "n",
        "best_of",
        "seed",
        "guidance_rescale",
        "width",
        "height",
        "style",
        "preview_every",
        "control",
    }
)
"""Options that stand elsewhere on the page, or that it leaves at their defaults."""
OPTIONS = tuple(one for one in declared(image_params.ImageParams) if one.name not in ELSEWHERE)
INITIAL = {"steps": STEPS, "guidance": GUIDANCE}
"""Where the field's own default is the model's choice, and a slider needs a value to stand at."""


def component(one: Parameter) -> Any:
    """What asks for it, with its default in place."""
    info = one.info
    value: Any = INITIAL.get(one.name, one.default)
    told: dict[str, Any] = {"label": label(one), "elem_id": f"draw-{one.name}"}
    kinds = alternatives(one.annotation)
    if info.slider is not None:
        low, high, step = info.slider
        return gr.Slider(low, high, value, step=step, **told)
    if info.choices:
        return gr.Dropdown([("Model default", ""), *((name, name) for name in info.choices)], value=value or "", **told)
    if bool in kinds:
        return gr.Checkbox(bool(value), **told)
    if int in kinds or float in kinds:
        return gr.Number(value, precision=None if float in kinds else 0, **told)
    return gr.Textbox(value or "", **told)


def label(one: Parameter) -> str:
    return one.info.label or one.name.replace("_", " ").capitalize()


def values(given: Sequence[Any]) -> dict[str, Any]:
    """What the components of OPTIONS hold, as the pipelines take it."""
    return {one.name: _value(one, answer) for one, answer in zip(OPTIONS, given, strict=True)}


def _value(one: Parameter, answer: Any) -> Any:
    if answer in ("", None):
        return one.default
    return int(answer) if alternatives(one.annotation) == [int] else answer
