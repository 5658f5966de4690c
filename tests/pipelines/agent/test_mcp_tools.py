import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_server import listening

from mmgen.engine.job import Request
from mmgen.errors import Cancelled, JobFailed, NotFound
from mmgen.pipelines.agent.mcp_tools import McpConnections, McpTool
from mmgen.pipelines.agent.tool import AssistantCall, ToolResult, TurnContext
from mmgen.serve.settings import ServeConfig

SERVER = Path(__file__).parents[2] / "mcp_server.py"
COMMAND = shlex.join([sys.executable, str(SERVER)])


@pytest.fixture(scope="module")
def small() -> Iterator[McpConnections]:
    connections = McpConnections([COMMAND])
    yield connections
    connections.close()


def run(tool: McpTool, request: Request | None = None, **arguments: Any) -> ToolResult:
    context = TurnContext("", [], request or Request.new())
    *_, last = tool.run(AssistantCall.of(tool.name, arguments), context)
    assert isinstance(last, ToolResult)
    return last


def test_tools_over_standard_streams(small: McpConnections) -> None:
    tools = {tool.name: tool for tool in small.tools()}
    assert set(tools) == {"forecast", "fail", "dot", "forever"}
    forecast = tools["forecast"]
    assert forecast.parameters["properties"]["place"]["properties"]["city"]["maxLength"], "the reference is resolved"
    assert "sends these arguments to" in forecast.asks({}, TurnContext("", [], Request.new())), (
        "a server's word is no permission"
    )
    found = run(forecast, place={"city": "Oslo"}, days=2)
    assert found.text.startswith("Oslo: rain for 2 days.") and not found.trusted and found.answer is None
    shown = run(tools["dot"])
    assert [(one.kind, one.width) for one in shown.images] == [("image/png", 4)]
    with pytest.raises(JobFailed, match="fail says: Error executing tool fail"):
        run(tools["fail"])


def test_some_of_the_tools(small: McpConnections) -> None:
    some = small.only(["0/dot", "0/gone"])
    (dot,) = some.tools()
    assert dot.name == "dot" and some.servers and small.only([]).servers == [] == small.only([]).tools()
    some.close()
    assert run(dot).images, "what somebody else holds is not closed"


def test_a_call_ends_with_its_request(small: McpConnections) -> None:
    forever = next(tool for tool in small.tools() if tool.name == "forever")
    request = Request.new()
    threading.Timer(0.2, request.cancel).start()
    with pytest.raises(Cancelled):
        run(forever, request)


def test_streamable_http() -> None:
    from mcp_server import server

    app: Any = server.streamable_http_app()
    app.state.settings = ServeConfig()
    with listening(app) as address:
        connections = McpConnections([f"{address}/mcp"])
        forecast = next(tool for tool in connections.tools() if tool.name == "forecast")
        assert run(forecast, place={"city": "Rome"}).summary.startswith("Rome: rain for 1 days.")
        connections.close()


def test_servers_that_do_not_answer() -> None:
    with pytest.raises(NotFound, match="'no-such-command-here' does not answer"):
        McpConnections(["no-such-command-here"]).tools()
    with pytest.raises(NotFound, match=r"is no command|does not answer"):
        McpConnections(["'unclosed"]).tools()
    assert McpConnections([]).tools() == []
