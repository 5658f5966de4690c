"""What the Engine tab shows, and its buttons: models go to sleep, wake and are pinned."""

from typing import TYPE_CHECKING

import gradio as gr
import pytest

from apps.engine_tab import EngineHandlers

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


def test_models_sleep_wake_and_are_pinned(writer: "Runtime") -> None:
    writer.text()
    watching = EngineHandlers(writer)
    name = f"text {writer.config.text}"
    states = {row[0]: row[1:] for row in watching.move(name, "awake")()}
    assert states[name][0] in ("resting", "asleep")
    states = {row[0]: row[1:] for row in watching.move(name, states[name][0])()}
    assert states[name][0] == "awake" and states[name][1] > 0
    assert {row[0]: row[3] for row in watching.pin(name, False)()}[name]
    with pytest.raises(gr.Error, match="is pinned; unpin it first"):
        watching.move(name, "awake")()
    assert not {row[0]: row[3] for row in watching.pin(name, True)()}[name]


def test_a_look_has_everything(writer: "Runtime") -> None:
    writer.text()
    tiles, plots, tables, models = EngineHandlers(writer).look()
    assert "jobs running" in tiles and "<svg" in plots and "No jobs running" in plots
    assert "Memory ledger" in tables and "weights" in tables and models
