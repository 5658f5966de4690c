from types import SimpleNamespace
from typing import Any

from mmgen.engine.job import Request
from mmgen.pipelines.agent.toolbox import Toolbox


def test_tools_of_servers_take_no_names_of_ours() -> None:
    tools = [
        SimpleNamespace(name=name, server=server) for name, server in (("calc", 0), ("rain", 0), ("rain", 1), ("answer", 1))
    ]
    connections: Any = SimpleNamespace(tools=lambda request: tools, servers=["a", "b"])
    box = Toolbox(None, None, None, [], connections)  # type: ignore[arg-type]
    for _ in range(2):
        found = box.tools(["calc", "mcp"], Request.new())
        assert list(found) == ["calc", "mcp_0_calc", "rain", "mcp_1_rain", "mcp_1_answer"]
    assert list(box.tools(["mcp"], Request.new())) == ["mcp_0_calc", "rain", "mcp_1_rain", "mcp_1_answer"]
    box.close()
