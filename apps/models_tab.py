"""The Models tab: what is on this machine, what is loaded, and in which precision; download, sleep, pin and remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen import embedded, hub, hub_cache, weight_files
from mmgen.errors import BadRequest, MmgenError
from mmgen.models.tuning.choices import Choices
from mmgen.runtime import Runtime

from . import engine_html, model_download
from .live_runs import Frame, LiveRuns
from .model_chooser import ModelChooser
from .sessions import Pages, error_toasts

EVERY = 2.0  # seconds
STATES = {"awake": "in memory", "resting": "in CPU memory", "asleep": "unloaded, reloads on next use"}
Pull = Callable[[str], Path]
"""Fetches the model of a reference, unless it is here, and says where it lies."""
KINDS = ("image encoder",)
"""Those of more than one word."""
HINT = (
    "<p class='facts'>Models load on first use. Sleep frees their memory; Pin keeps them in it; Remove deletes a download.</p>"
)


@dataclass(frozen=True)
class ModelRow:
    """One model, on the disk or loaded from elsewhere."""

    reference: str
    kind: str
    about: str  # licence and summary
    disk: int  # bytes
    engine: str = ""  # its name in the engine; empty: it is not loaded
    state: str = ""
    memory: int = 0  # bytes
    pinned: bool = False
    precision: str = ""
    download: bool = False  # whether it can be removed


def tab(rt: Runtime, chooser: ModelChooser, pages: Pages, pull: Pull, seen: gr.Tab) -> gr.Timer:
    """Builds it -> the timer that refreshes it, which runs while the tab `seen` is."""
    handlers = ModelHandlers(rt, chooser, pages, pull)
    gr.HTML(HINT)
    found = gr.State([])

    @gr.render(inputs=found, show_progress="hidden")
    def rows(shown: list[ModelRow]) -> None:
        for one in shown:
            with gr.Row(equal_height=True, elem_classes="model", key=one.reference):
                gr.HTML(row_html(one), min_width=260)
                if one.engine:
                    sleeping = one.state != "awake"
                    move = gr.Button("Wake" if sleeping else "Sleep", size="sm", scale=0, min_width=80)
                    pin = gr.Button("Unpin" if one.pinned else "Pin", size="sm", scale=0, min_width=80)
                    move.click(handlers.move(one), None, found, show_progress="hidden")
                    pin.click(handlers.pin(one), None, found, show_progress="hidden")
                if one.download and chooser.local:
                    remove = gr.Button("Remove", size="sm", scale=0, min_width=90, variant="stop")
                    remove.click(
                        handlers.remove(one), None, found, show_progress="hidden",
                        js=f"() => {{ if (!confirm({one.reference!r} + ': remove this download?')) throw new Error('kept'); }}",
                    )  # fmt: skip

    if chooser.local:
        with gr.Row(equal_height=True):
            wanted = gr.Textbox(
                label="Download a model", placeholder="org/name, org/name:Q4_K_M or embedded:smollm2", scale=4, min_width=220,
                elem_id="models-wanted",
            )  # fmt: skip
            go = gr.Button("Download", variant="primary", scale=1, min_width=110, elem_id="models-download")
        told = gr.HTML("", elem_id="models-told")
        gr.on(
            [go.click, wanted.submit], handlers.download, wanted, [told, found], show_progress="hidden", trigger_mode="once"
        )  # fmt: skip
    timer = gr.Timer(EVERY, active=False)
    gr.on([timer.tick, seen.select], handlers.changed, found, found, show_progress="hidden")
    return timer


class ModelHandlers:
    """What the tab shows and its buttons do."""

    def __init__(self, rt: Runtime, chooser: ModelChooser, pages: Pages, pull: Pull) -> None:
        self.rt, self.chooser, self.pull, self.runs = rt, chooser, pull, LiveRuns(pages, 2)

    def rows(self) -> list[ModelRow]:
        """Loaded ones first, then the others by kind."""
        loaded = {one.name: one for one in self.rt.engine.models}
        chosen = {(one.kind, one.model): one.precision for one in Choices(self.rt.home / "precision").all()}
        found, named = list[ModelRow](), set[str]()
        for entry in hub.models():
            name = f"{entry.kind} {entry.reference}"
            state = loaded.get(name)
            named.add(name)
            about = " · ".join(filter(None, (entry.summary, entry.licence)))
            precision = self.rt.host.precisions.get(entry.reference) or _measured(chosen, entry.reference)
            own = embedded.EMBEDDED.get(entry.reference)
            row = ModelRow(
                entry.reference, entry.kind, about, entry.bytes, precision=precision, download=own is None or own.pulled
            )  # fmt: skip
            found.append(row if state is None else _loaded(row, state))
        for path, kind in self.chooser.own():
            if not any(one.reference == str(path) for one in found) and f"{kind} {path}" not in loaded:
                size = sum(file.stat().st_size for file in weight_files.used(path))
                found.append(ModelRow(str(path), kind, "in the home's folder of models", size))
        for name, state in loaded.items():
            if name not in named:
                kind = next((one for one in KINDS if name.startswith(f"{one} ")), name.partition(" ")[0])
                reference = name.removeprefix(f"{kind} ")
                row = ModelRow(reference, kind, "", 0, precision=self.rt.host.precisions.get(reference, ""))
                found.append(_loaded(row, state))
        return sorted(found, key=lambda one: (not one.engine, one.kind, one.reference))

    def changed(self, shown: list[ModelRow]) -> Any:
        rows = self.rows()
        return gr.skip() if rows == shown else rows

    def move(self, one: ModelRow) -> Any:
        """Out of memory, or into it again."""

        def run() -> list[ModelRow]:
            with error_toasts():
                self.rt.sleep(one.engine) if one.state == "awake" else self.rt.wake(one.engine)
            return self.rows()

        return run

    def pin(self, one: ModelRow) -> Any:
        def run() -> list[ModelRow]:
            with error_toasts():
                self.rt.pin(one.engine, not one.pinned)
            return self.rows()

        return run

    def remove(self, one: ModelRow) -> Any:
        """From the disk; what is loaded stays loaded until it sleeps."""

        def run() -> list[ModelRow]:
            with error_toasts():
                hub_cache.remove(hub_cache.find(one.reference)[1])
            return self.rows()

        return run

    def download(self, wanted: str, http: gr.Request) -> Iterator[Frame]:
        """What has arrived so far, until it is all here; a reload of the page stops nothing."""
        reference = wanted.strip()

        def steps(_: Path) -> Iterator[Frame]:
            with error_toasts():
                if not reference:
                    raise BadRequest("there is no model to download; give a repo id such as org/name")
                yield from self._downloaded(reference)

        yield from self.runs.start(http, steps)

    def _downloaded(self, reference: str) -> Iterator[Frame]:
        try:
            for note in model_download.notes(reference, lambda: self.pull(reference)):
                yield f"<p class='status'>{escape(note)}</p>", gr.skip()
        except MmgenError as why:
            yield f"<p class='status warn'>{escape(str(why))}</p>", gr.skip()
            raise
        yield f"<p class='status'>{escape(reference)} is on this machine.</p>", self.rows()


def row_html(one: ModelRow) -> str:
    parts = [one.kind, *([engine_html.size(one.disk)] if one.disk else [])]
    if one.precision:
        parts.append(f"runs in {one.precision}")
    if one.engine:
        parts.append(f"{STATES.get(one.state, one.state)}, {engine_html.size(one.memory)}" + (", pinned" if one.pinned else ""))
    about = f"<small class='about'>{escape(one.about)}</small>" if one.about else ""
    return f"<p class='resident'><b>{escape(one.reference)}</b> <small>{escape(' · '.join(parts))}</small>{about}</p>"


def _loaded(row: ModelRow, state: Any) -> ModelRow:
    """`state`: of the engine's models."""
    return replace(row, engine=state.name, state=state.state, memory=state.nbytes, pinned=state.pinned)


def _measured(chosen: dict[tuple[str, str], str], reference: str) -> str:
    return next((precision for (_, model), precision in chosen.items() if model == reference), "")
