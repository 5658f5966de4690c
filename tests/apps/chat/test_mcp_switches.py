from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from apps.chat import mcp_switches
from mmgen.errors import NotFound
from mmgen.pipelines.agent.mcp_tools import McpConnections


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> McpConnections:
    """Two tools of a server."""
    found: list[Any] = [SimpleNamespace(name=name, id=f"0/{name}") for name in ("forecast", "dot")]
    mcp = McpConnections(["weather"])
    monkeypatch.setattr(mcp, "tools", lambda: found)
    return mcp


def test_a_switch_for_each_tool(servers: McpConnections) -> None:
    assert isinstance(mcp_switches.switches(servers), gr.CheckboxGroup)
    shown = mcp_switches.listed(servers)
    assert shown["choices"] == [("forecast", "0/forecast"), ("dot", "0/dot")] and shown["value"] == ["0/forecast", "0/dot"]
    assert "asks you first" in shown["info"]


def test_no_servers_or_one_that_is_not_there(servers: McpConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(mcp_switches.switches(McpConnections([])), gr.State)

    def gone() -> None:
        raise NotFound("the MCP server 'weather' does not answer")

    monkeypatch.setattr(servers, "tools", gone)
    shown = mcp_switches.listed(servers)
    assert shown["choices"] == [] and "does not answer" in shown["info"]
