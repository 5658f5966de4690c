"""Forms from signatures: a component for every type, values back in their types, results shown and never rendered."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr
import pytest
from PIL import Image

from apps import forms, plugins_tab
from mmgen.builtin import register
from mmgen.engine.job import Request
from mmgen.errors import PluginError
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


@pytest.fixture
def pixel(plug: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example's plugin, installed beside ours."""
    monkeypatch.syspath_prepend(str(PIXEL))
    import mmgen_pixel

    plug(builtin=register, pixel=mmgen_pixel.register)
    yield
    for name in [name for name in sys.modules if name.startswith("mmgen_pixel")]:
        del sys.modules[name]


@pytest.mark.usefixtures("pixel")
def test_a_plugins_pipeline_runs_from_its_form(tiny_encoder: Path, tmp_path: Path) -> None:
    from mmgen.config import RuntimeConfig

    with Runtime(RuntimeConfig(home=tmp_path, device="cpu", encoder=str(tiny_encoder))) as rt:
        (entry,) = plugins_tab.plugin_pipelines(rt)
        made = rt.registry.pipelines.get(entry.name)
        filled = plugins_tab.FormHandlers(
            rt, signature.read(entry.name, made), plugins_tab.takes_request(made), plugins_tab.Sessions()
        )
        assert [one.name for one in filled.asked] == ["prompt", "labels", "grid", "encoder"]
        said, images, whole, data = filled.run(BROWSER, "a cat", "animal\nfood", 8, "")
        assert "animal" in said and "food" in said
        assert data["prompt"] == "a cat" and set(data["similarities"]) == {"animal", "food"} and data["grid"] == 8
        assert whole["visible"] and not images["visible"]
        with pytest.raises(gr.Error, match="grid is 0; it can be 1 to 200 blocks"):
            filled.run(BROWSER, "a cat", "animal", 0, "")


@pytest.mark.usefixtures("pixel")
def test_our_own_pipelines_have_tabs_instead(tiny_runtime: Runtime) -> None:
    names = {entry.name for entry in plugins_tab.plugin_pipelines(tiny_runtime)}
    assert "txt2img" not in names


def test_what_fails_in_a_plugin_is_one_line(tiny_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rt: Runtime, text: str) -> None:
        raise ZeroDivisionError("of its own\nmaking")

    filled = plugins_tab.FormHandlers(tiny_runtime, signature.read("broken", broken), False, plugins_tab.Sessions())
    monkeypatch.setattr(plugins_tab, "pipeline", lambda name, runtime: lambda **given: broken(runtime, **given))
    with pytest.raises(gr.Error, match="broken failed: ZeroDivisionError: of its own making"):
        filled.run(BROWSER, "x")


def test_a_form_that_cannot_ask_says_so(tiny_runtime: Runtime) -> None:
    def strange(rt: Runtime, weights: Mapping[str, float]) -> None: ...

    filled = plugins_tab.FormHandlers(tiny_runtime, signature.read("strange", strange), False, plugins_tab.Sessions())
    with pytest.raises(PluginError, match='pipeline "strange" has no form: no field can be a weights'):
        filled.check()


def test_a_request_is_given_to_who_takes_one() -> None:
    assert plugins_tab.takes_request(everything) and not plugins_tab.takes_request(lambda rt, text: None)
