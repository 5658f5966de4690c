"""Forms from signatures: a component for every type, values back in their types, results shown and never rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr
from PIL import Image

from apps import forms
from mmgen.engine.job import Request
from mmgen.pipelines import signature
from mmgen.runtime import Runtime

PIXEL = Path(__file__).parents[2] / "examples" / "plugins" / "mmgen_pixel"
BROWSER: Any = SimpleNamespace(session_hash="me")


class Colour(Enum):
    red = 1
    blue = 2


def everything(
    rt: Runtime,
    text: str,
    image: str | Path | Image.Image,
    file: Path | None = None,
    way: Literal["slow", "fast"] = "slow",
    colour: Colour = Colour.red,
    many: Sequence[int] = (1, 2),
    count: int = 3,
    share: float | None = None,
    loud: bool = False,
    bias: Mapping[int, float] | None = None,
    request: Request | None = None,
) -> dict[str, Any]:
    """Takes all kinds.

    text: what to say.
    """
    return {"text": text, "many": many, "way": way, "colour": colour, "request": request is not None}


DESCRIBED = signature.read("everything", everything)


def test_every_type_has_its_component() -> None:
    made = {one.name: forms.component(one) for one in DESCRIBED.parameters if forms.has_component(one)}
    kinds = {name: type(one) for name, one in made.items()}
    assert kinds == {
        "text": gr.Textbox, "image": gr.Image, "file": gr.File, "way": gr.Dropdown, "colour": gr.Dropdown, "many": gr.Textbox,
        "count": gr.Number, "share": gr.Number, "loud": gr.Checkbox,
    }  # fmt: skip
    assert made["text"].info == "what to say." and made["way"].value == "slow" and made["colour"].value == "red"
    assert made["many"].value == "1\n2" and made["count"].precision == 0


def test_values_come_back_in_their_types() -> None:
    asked = [one for one in DESCRIBED.parameters if forms.has_component(one)]
    given = {"text": "", "image": "/a.png", "file": None, "way": "fast", "colour": "blue", "many": "4\n\n5 ", "count": 7,
             "share": None, "loud": True}  # fmt: skip
    assert forms.values(asked, [given[one.name] for one in asked]) == {
        "text": "", "image": "/a.png", "way": "fast", "colour": Colour.blue, "many": [4, 5], "count": 7, "loud": True,
    }  # fmt: skip


def test_results_are_shown_and_not_rendered() -> None:
    image = Image.new("RGB", (4, 4))
    assert forms.images(image) == forms.images([image]) == forms.images(SimpleNamespace(images=[image])) == [image]
    assert forms.images("text") == [] and forms.html(image) == forms.html([image]) == forms.html(None) == ""
    assert forms.html("<b>x</b>") == "<pre class='said'>&lt;b&gt;x&lt;/b&gt;</pre>"
    assert "<i>" not in forms.html({"<i>": "<i>"}) and forms.html({"a": 1}).count("<tr>") == 1


def test_results_are_also_data() -> None:
    @dataclass
    class Found:
        path: Path
        score: float

    assert forms.data(Found(Path("a"), 0.5)) == {"path": "a", "score": 0.5}
    assert forms.data("text") is None and forms.data([1]) == [1]
