"""The Engine tab: who uses the device, and for what. Knows what stands where; not how turns are given."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from mmgen.runtime import Runtime

from . import engine_html
from .activity import ActivityMonitor

EVERY = 1.0  # seconds


def tab(rt: Runtime, seen: gr.Tab) -> tuple[gr.Timer, Callable[[], None]]:
    """Builds it. The timer runs while the tab `seen` is, which the caller knows; a page that opens calls the function, so that
    there is something to see by then."""
    watching = EngineHandlers(rt)
    board, plots = gr.HTML(elem_id="engine-board"), gr.HTML(elem_id="engine-plots")
    below = gr.HTML(elem_id="engine-tables")
    timer = gr.Timer(EVERY, active=False)
    gr.on([timer.tick, seen.select], watching.look, None, [board, plots, below], show_progress="hidden")
    return timer, watching.pulse.watch


class EngineHandlers:
    """What the tab shows."""

    def __init__(self, rt: Runtime) -> None:
        self.rt, self.pulse = rt, ActivityMonitor(rt.engine.metrics)

    def look(self) -> tuple[str, str, str]:
        engine, rates = self.rt.engine, self.pulse.rates()
        now = engine.metrics.now()
        tables = engine_html.shares(dict(engine.metrics.users)) + engine_html.memory(now)
        return (
            engine_html.tiles(now, rates),
            engine_html.plots(rates) + engine_html.jobs(engine.jobs(), now.work),
            f"<div class='plots'>{tables}</div>",
        )
