"""The Plugins tab: one generated form for each plugin pipeline."""

from __future__ import annotations

import inspect
from html import escape
from typing import Any

import gradio as gr

from mmgen.errors import JobFailed, MmgenError, PluginError
from mmgen.pipelines import signature
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.signature import Signature
from mmgen.plugins import BUILTIN
from mmgen.registry import RegistryEntry, one_line
from mmgen.runtime import Runtime

from . import answer_html, forms
from .sessions import Pages, Sessions, error_toasts

EMPTY = """<div class='empty'><p>Plugin pipelines appear here automatically, each with a form generated from its signature.</p>
<p>None is installed. <code>examples/plugins/mmgen_pixel</code> is a complete example.</p></div>"""


def plugin_pipelines(rt: Runtime) -> list[RegistryEntry]:
    """Pipelines registered by plugins."""
    return [entry for entry in rt.registry.pipelines if entry.owner != BUILTIN.name]


def tab(rt: Runtime, pages: Pages) -> None:
    """Builds the tab."""
    sessions, entries = Sessions(pages), plugin_pipelines(rt)
    if not entries:
        gr.HTML(EMPTY)
    for number, entry in enumerate(entries):
        with gr.Accordion(f"{entry.name}: {entry.summary or 'of plugin ' + entry.owner}", open=number == 0):
            try:
                made = rt.registry.pipelines.get(entry.name)
                form(FormHandlers(rt, signature.read(entry.name, made), takes_request(made), sessions), entry)
            except PluginError as why:
                gr.HTML(answer_html.notice(str(why)))
    for plugin in rt.registry.plugins:
        if plugin.status == "failed":
            gr.HTML(answer_html.notice(f"plugin {plugin.name} failed to load: {plugin.error}"))


def form(filled: FormHandlers, entry: RegistryEntry) -> None:
    """Its parameters on the left, its result on the right. Raises PluginError if a required parameter has no component."""
    filled.check()
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            gr.HTML(f"<p class='facts'>{escape(filled.described.text)}</p>")
            asked = [forms.component(one) for one in filled.asked if one.required]
            rest = [one for one in filled.asked if not one.required]
            if rest:
                with gr.Accordion("Options", open=len(rest) < 5):
                    asked += [forms.component(one) for one in rest]
            with gr.Row():
                go = gr.Button("Run", variant="primary", elem_id=f"more-{entry.name}-go")
                stop = gr.Button("Stop")
        with gr.Column(scale=2, min_width=300):
            said = gr.HTML("<div class='empty'><p>The result appears here.</p></div>", elem_id=f"more-{entry.name}-result")
            shown = gr.Gallery(visible=False, show_label=False, columns=3, format="png", height="auto")
            with gr.Accordion("JSON", open=False, visible=False) as whole:
                data = gr.JSON(show_label=False)
    go.click(filled.run, asked, [said, shown, whole, data], show_progress_on=said)
    stop.click(filled.sessions.cancel, queue=False)


class FormHandlers:
    """Event handlers of a form."""

    def __init__(self, rt: Runtime, described: Signature, takes_request: bool, sessions: Sessions) -> None:
        self.rt, self.described, self.takes_request, self.sessions = rt, described, takes_request, sessions
        shown = [one for one in described.parameters if forms.has_component(one)]
        self.asked = [*(one for one in shown if one.required), *(one for one in shown if not one.required)]

    def check(self) -> None:
        for one in self.described.parameters:
            if one.required and not forms.has_component(one):
                raise PluginError(f'pipeline "{self.described.name}" has no form: no field can be a {one}; use it from Python')

    def run(self, http: gr.Request, *given: Any) -> tuple[Any, ...]:
        with error_toasts():
            result = self._called(forms.values(self.asked, given), http)
        images, data = forms.images(result), forms.data(result)
        return (
            forms.html(result),
            gr.update(value=images, visible=bool(images)),
            gr.update(visible=data is not None),
            data,
        )

    def _called(self, values: dict[str, Any], http: gr.Request) -> Any:
        making = {one.name for one in self.described.parameters if one.stage == "make"}
        made = pipeline(self.described.name, runtime=self.rt, **{k: v for k, v in values.items() if k in making})
        call = {k: v for k, v in values.items() if k not in making}
        try:
            with self.sessions.request(http, "normal") as request:
                return made(**call, **({"request": request} if self.takes_request else {}))
        except MmgenError:
            raise
        except Exception as why:  # plugin code can raise anything
            raise JobFailed(f"{self.described.name} failed: {one_line(why)}") from why
        finally:
            if close := getattr(made, "close", None):
                close()


def takes_request(made: Any) -> bool:
    called = made.__call__ if inspect.isclass(made) else made
    return "request" in inspect.signature(called).parameters
