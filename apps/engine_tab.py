"""The tab Engine: who uses the device, and for what. Knows what stands where; not how turns are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from mmgen.runtime import Runtime

from . import engine_html
from .activity import ActivityMonitor
from .sessions import error_toasts

EVERY = 1.0  # seconds
NO_MODELS = "<p class='empty'>No model is loaded. Each model loads on first use.</p>"
STATES = {"awake": "on the device", "resting": "in CPU memory", "asleep": "unloaded, reloads on next use"}
Row = tuple[str, str, int, bool]  # a model's name, state, bytes, and whether it is pinned


def tab(rt: Runtime) -> tuple[gr.Timer, Callable[[], None]]:
    """Builds it. The timer runs while the tab is seen, which the caller knows; a page that opens calls the function, so that
    there is something to see by then."""
    watching = EngineHandlers(rt)
    board, plots = gr.HTML(elem_id="engine-board"), gr.HTML(elem_id="engine-plots")
    below = gr.HTML(elem_id="engine-tables")
    models = gr.State([])
    gr.HTML("<h3>Models</h3>", elem_classes="heading")

    @gr.render(inputs=models, show_progress="hidden")
    def rows(found: list[Row]) -> None:
        if not found:
            gr.HTML(NO_MODELS)
        for name, state, nbytes, pinned in found:
            with gr.Row(equal_height=True, elem_classes="model"):
                gr.HTML(engine_html.model(name, STATES.get(state, state), nbytes), min_width=220)
                move = gr.Button("Sleep" if state == "awake" else "Wake", size="sm", scale=0, min_width=90)
                pin = gr.Button("Unpin" if pinned else "Pin", size="sm", scale=0, min_width=90)
            move.click(watching.move(name, state), None, models, show_progress="hidden")
            pin.click(watching.pin(name, pinned), None, models, show_progress="hidden")

    timer = gr.Timer(EVERY, active=False)
    timer.tick(watching.look, None, [board, plots, below, models], show_progress="hidden")
    return timer, watching.pulse.watch


class EngineHandlers:
    """What the tab shows and its buttons do."""

    def __init__(self, rt: Runtime) -> None:
        self.rt, self.pulse = rt, ActivityMonitor(rt.engine.metrics)

    def look(self) -> tuple[str, str, str, list[Row]]:
        engine, rates = self.rt.engine, self.pulse.rates()
        now = engine.metrics.now()
        tables = engine_html.shares(dict(engine.metrics.users)) + engine_html.memory(now)
        return (
            engine_html.tiles(now, rates),
            engine_html.plots(rates) + engine_html.jobs(engine.jobs(), now.work),
            f"<div class='plots'>{tables}</div>",
            self.models(),
        )

    def models(self) -> list[Row]:
        return [(one.name, one.state, one.nbytes, one.pinned) for one in self.rt.engine.models]

    def move(self, name: str, state: str) -> Any:
        """To bed or out of it."""

        def run() -> list[Row]:
            with error_toasts():
                self.rt.sleep(name) if state == "awake" else self.rt.wake(name)
            return self.models()

        return run

    def pin(self, name: str, pinned: bool) -> Any:
        def run() -> list[Row]:
            with error_toasts():
                self.rt.pin(name, not pinned)
            return self.models()

        return run
