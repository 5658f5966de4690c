"""Forms of plugin pipelines: run, refused in one line, and only of pipelines that are not built in."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from apps import plugins_tab
from mmgen.builtin import register
from mmgen.engine.job import Request
from mmgen.errors import PluginError
from mmgen.pipelines import signature
from mmgen.runtime import Runtime

PIXEL = Path(__file__).parents[2] / "examples" / "plugins" / "mmgen_pixel"
BROWSER: Any = SimpleNamespace(session_hash="me")


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
    def asks(rt: Runtime, request: Request | None = None) -> None: ...

    assert plugins_tab.takes_request(asks) and not plugins_tab.takes_request(lambda rt, text: None)
