"""What the Engine tab shows."""

from typing import TYPE_CHECKING

from apps.engine_tab import EngineHandlers

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


def test_a_look_has_everything(writer: "Runtime") -> None:
    writer.text()
    tiles, plots, tables = EngineHandlers(writer).look()
    assert "jobs running" in tiles and "<svg" in plots and "No jobs running" in plots
    assert "Memory ledger" in tables and "weights" in tables
