"""The tools behind the switches of the assistant. What opens a model or a store is made with its first use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.pipelines.agent.calculator_tool import CalculatorTool
from mmgen.pipelines.agent.mcp_tools import McpConnections
from mmgen.pipelines.agent.tool import AssistantTool

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


class Toolbox:
    """One store, one image model and some MCP servers; turns switch on what they need."""

    def __init__(
        self,
        rt: Runtime,
        store: str | None,
        image_model: str | None,
        mcp: Sequence[str],
        connections: McpConnections | None = None,
    ) -> None:
        """`connections`: those that several toolboxes share; whoever made them closes them."""
        self.rt, self.store, self.image_model = rt, store, image_model
        self.mcp, self._shared = connections or McpConnections(mcp), connections is not None
        self._made: dict[str, list[AssistantTool]] = {}

    def tools(self, switches: Sequence[str], request: Request) -> dict[str, AssistantTool]:
        """By their names. Raises NotFound for an MCP server that does not answer."""
        found: dict[str, AssistantTool] = {}
        for switch in switches:
            if switch == "mcp":
                for tool in self.mcp.tools(request):
                    name = tool.name if tool.name not in found and tool.name not in OWN else f"mcp_{tool.server}_{tool.name}"
                    tool.name = name[:64]
                    found[tool.name] = tool
                continue
            if switch not in self._made:
                self._made[switch] = self._make(switch)
            found |= {tool.name: tool for tool in self._made[switch]}
        return found

    def close(self) -> None:
        for tools in self._made.values():
            for tool in tools:
                tool.close()
        self._made.clear()
        if not self._shared:
            self.mcp.close()

    def _make(self, switch: str) -> list[AssistantTool]:
        """Their pipelines are imported here: a turn that calculates needs none of them."""
        if switch == "calc":
            return [CalculatorTool()]
        if switch == "docs":
            from mmgen.pipelines.agent.document_tool import DocumentTool
            from mmgen.pipelines.rag_text import RagText

            return [DocumentTool(RagText(self.rt, store=self.store))]
        if switch == "fetch":
            from mmgen.library.document_library import DocumentLibrary
            from mmgen.pipelines.agent.fetch_tool import FetchTool

            return [FetchTool(DocumentLibrary.open(self.rt, self.store))]
        from mmgen.pipelines.agent.image_tools import DrawTool, EditTool, ImageSearchTool
        from mmgen.pipelines.image_search import ImageSearch

        if switch == "images":
            return [ImageSearchTool(ImageSearch(self.rt, store=self.store))]
        return [DrawTool(self.rt, self.image_model), EditTool(self.rt, self.image_model)]


OWN = frozenset({"docs", "images", "draw", "edit", "calc", "fetch", "answer"})
"""Names that no tool of others takes."""
