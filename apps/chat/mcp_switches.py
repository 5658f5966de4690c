"""Switches for the tools of MCP servers: each on or off for the next message. Every call asks first."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mmgen.errors import MmgenError
from mmgen.pipelines.agent.mcp_tools import McpConnections

from .. import on_load

LABEL = "MCP tools"
ASKS = "Each call asks you first, as it sends its arguments to the server."


def switches(mcp: McpConnections) -> Any:
    """A checkbox a tool; a state without any where there are no servers. The tools are asked for when a page opens."""
    if not mcp.servers:
        return gr.State([])
    made = gr.CheckboxGroup([], label=LABEL, info="Connecting", elem_id="chat-mcp")
    on_load.fill(made, lambda: listed(mcp))
    return made


def listed(mcp: McpConnections) -> Any:
    """All tools, switched on; or why there are none."""
    try:
        found = mcp.tools()
    except MmgenError as why:
        return gr.update(choices=[], value=[], info=str(why))
    return gr.update(choices=[(tool.name, tool.id) for tool in found], value=[tool.id for tool in found], info=ASKS)
