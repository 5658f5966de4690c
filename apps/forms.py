"""Generates Gradio forms from pipeline signatures: a component for each parameter type, and HTML or JSON for the result."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from PIL.Image import Image

from mmgen.pipelines import signature
from mmgen.pipelines.signature import Parameter

PLAIN = (bool, int, float, str)
MOST_ROWS = 200


def has_component(parameter: Parameter) -> bool:
    """Whether the parameter's type has a form component."""
    return kind_of(parameter.annotation) is not None


def kind_of(annotation: Any) -> Any:
    """The supported type of an annotation: a plain type, Path, Image, a Literal, an Enum, or list; None if no component fits.

    In a union Image comes first, then Path: a parameter that takes an image or its path gets an image component.
    """
    found = [kind for one in signature.alternatives(annotation) if (kind := _kind(one)) is not None]
    return min(found, key=lambda kind: (kind is not Image, kind is not Path)) if found else None


def _kind(annotation: Any) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return annotation
    if isinstance(origin, type) and issubclass(origin, Collection) and not issubclass(origin, Mapping):
        return list if inner and any(one in PLAIN for one in signature.alternatives(inner[0])) else None
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, Image):
        return Image
    if issubclass(annotation, Path):
        return Path
    return annotation if issubclass(annotation, Enum) or annotation in PLAIN else None


def component(parameter: Parameter) -> Any:
    """The component of a parameter, with its default; its help is the line below the label."""
    kind, default = kind_of(parameter.annotation), None if parameter.required else parameter.default
    options: dict[str, Any] = {"label": parameter.name.replace("_", " "), "elem_id": f"more-{parameter.name}"}
    if kind is Image:
        return gr.Image(type="filepath", sources=["upload", "clipboard"], height=200, **options)
    if kind is Path:
        return gr.File(height=120, **options)
    options["info"] = parameter.help or None
    if get_origin(kind) is Literal:
        return gr.Dropdown([*_none(parameter), *get_args(kind)], value=default, **options)
    if kind is bool:
        return gr.Checkbox(bool(default), **options)
    if kind is int:
        return gr.Number(default, precision=0, **options)
    if kind is float:
        return gr.Number(default, step=0.1, **options)
    if kind is list:
        return gr.Textbox("\n".join(map(str, default or ())), lines=3, placeholder="one on every line", **options)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return gr.Dropdown(
            [*_none(parameter), *((one.name, one.name) for one in kind)], value=default and default.name, **options
        )
    return gr.Textbox("" if default is None else str(default), lines=2 if parameter.required else 1, **options)


def value(parameter: Parameter, given: Any) -> Any:
    """The pipeline's argument from a component's value; None if it was left empty."""
    kind = kind_of(parameter.annotation)
    if kind is list:
        (inner,) = get_args(next(one for one in signature.alternatives(parameter.annotation) if _kind(one) is list))[:1] or (
            str,
        )
        part = next(one for one in signature.alternatives(inner) if one in PLAIN)
        return [part(line.strip()) for line in str(given or "").splitlines() if line.strip()] or None
    if given is None or (given == "" and not parameter.required):
        return None
    if kind is Path:
        return Path(given)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[given]
    return given


def values(parameters: Collection[Parameter], given: Collection[Any]) -> dict[str, Any]:
    """Arguments by name; an empty component keeps the pipeline's default."""
    found = {one.name: value(one, answer) for one, answer in zip(parameters, given, strict=True)}
    return {name: answer for name, answer in found.items() if answer is not None}


def images(result: Any) -> list[Image]:
    """The images in a result."""
    if isinstance(result, Image):
        return [result]
    found = getattr(result, "images", result)
    return [one for one in found if isinstance(one, Image)] if isinstance(found, list | tuple) else []


def html(result: Any) -> str:
    """A result as escaped HTML: a table of a mapping, otherwise its text."""
    if result is None or isinstance(result, Image) or (isinstance(result, list | tuple) and images(result)):
        return ""
    if isinstance(result, Mapping):
        rows = list(result.items())[:MOST_ROWS]
        body = "".join(f"<tr><th scope='row'>{escape(str(key))}</th><td>{escape(_short(one))}</td></tr>" for key, one in rows)
        return f"<div class='scroll'><table><tbody>{body}</tbody></table></div>"
    return f"<pre class='said'>{escape(str(result))}</pre>"


def data(result: Any) -> Any:
    """The result as JSON; None if it has no JSON form."""
    told = result.to_dict() if hasattr(result, "to_dict") else result
    if is_dataclass(told) and not isinstance(told, type):
        told = asdict(told)
    if not isinstance(told, dict | list):
        return None
    return json.loads(json.dumps(told, default=str))


def _short(one: Any) -> str:
    return one if isinstance(one, str) else json.dumps(one, default=str, ensure_ascii=False)


def _none(parameter: Parameter) -> list[tuple[str, Any]]:
    return [("Default", None)] if not parameter.required and parameter.default is None else []
