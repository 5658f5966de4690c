"""Tools of Model Context Protocol servers, by the official SDK: over streamable HTTP, or of a command's standard streams.

What a server says of its tools is its own word, so that every call asks the user first unless they allowed the tool by name.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shlex
import threading
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from contextlib import AsyncExitStack, suppress
from typing import Any, TextIO

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, JobFailed, MmgenError, NotFound
from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool, ShownImage, ToolResult, TurnContext
from mmgen.pipelines.agent.tool_schema import bounded
from mmgen.pipelines.streaming import Event
from mmgen.registry import one_line

CONNECT_S, CALL_S, LOOK_S = 30.0, 120.0, 0.05
MOST_TOOLS, LONGEST = 64, 500  # of a server; characters of a description
MOST_IMAGES = 4
NAME = re.compile(r"[^a-zA-Z0-9_.-]")


class McpConnections:
    """Connections to servers, in an event loop of their own that begins with the first use. Threads may share it."""

    def __init__(self, servers: Sequence[str]) -> None:
        """`servers`: URLs of streamable HTTP endpoints, or commands as a shell has them."""
        self.servers = list(servers)
        self._clients: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._found: list[McpTool] | None = None
        self._lock = threading.Lock()

    def tools(self, request: Request | None = None) -> list[McpTool]:
        """All servers' tools, connected to at the first time. Raises NotFound for a server that does not answer."""
        with self._lock:
            if self._found is None:
                self._found = self._connect() if self.servers else []
            return self._found

    def call(self, server: int, name: str, arguments: Mapping[str, Any], request: Request) -> Any:
        """What a tool returns: mcp_types.CallToolResult. Raises JobFailed, or as `request.check` does."""
        return self._wait(self._clients[server].call_tool(name, dict(arguments)), CALL_S, request, f"the tool {name}")

    def only(self, ids: Collection[str]) -> McpConnections:
        """The same connections with some of their tools, by `McpTool.id`; closing it ends nothing."""
        return McpSelection(self, ids)

    def close(self) -> None:
        """Ends the connections, and the commands."""
        with self._lock:
            if self._loop is not None and self._stop is not None and self._thread is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
                self._thread.join(CONNECT_S)
            self._thread, self._loop, self._found, self._clients = None, None, None, []

    def _connect(self) -> list[McpTool]:
        ready: Future[list[McpTool]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="mmgen-mcp", daemon=True)
        self._thread.start()
        try:
            return ready.result(CONNECT_S + 5)
        except MmgenError:
            raise
        except Exception as why:
            raise NotFound(f"the MCP server does not answer ({_reason(why)}); check its address or command") from None

    async def _serve(self, ready: Future[list[McpTool]]) -> None:
        """Opened and closed by one task, as the SDK's cancel scopes want it."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                found: list[McpTool] = []
                for number, server in enumerate(self.servers):
                    try:
                        async with asyncio.timeout(CONNECT_S):
                            client = await stack.enter_async_context(_client(server, stack))
                            self._clients.append(client)
                            listed = (await client.list_tools()).tools[:MOST_TOOLS]
                    except Exception as why:
                        told = f"the MCP server {server[:100]!r} does not answer ({_reason(why)}); check its address or command"
                        raise NotFound(told) from None
                    found += [McpTool(self, number, tool) for tool in listed if _usable(tool)]
                ready.set_result(found)
                await self._stop.wait()
        except BaseException as why:
            if not ready.done():
                ready.set_exception(_first(why))

    def _wait(self, work: Coroutine[Any, Any, Any], seconds: float, request: Request, what: str) -> Any:
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        try:
            while True:
                try:
                    return future.result(LOOK_S)
                except StillRunning:
                    if future.done():
                        raise JobFailed(f"{what} took more than {seconds:.0f} s; ask for less") from None
                    request.check(f"while {what} was running")
        except MmgenError:
            raise
        except Exception as why:
            raise JobFailed(f"{what} failed: {_reason(why)}") from None
        finally:
            future.cancel()


class McpSelection(McpConnections):
    """Some tools of connections that somebody else holds."""

    def __init__(self, whole: McpConnections, ids: Collection[str]) -> None:
        super().__init__(whole.servers if ids else ())
        self._whole, self._ids = whole, frozenset(ids)

    def tools(self, request: Request | None = None) -> list[McpTool]:
        return [tool for tool in self._whole.tools(request) if tool.id in self._ids] if self._ids else []


class McpTool(AssistantTool):
    """A server's tool."""

    def __init__(self, connections: McpConnections, server: int, tool: Any) -> None:
        self.connections, self.server, self.remote = connections, server, str(tool.name)
        self.id = f"{server}/{self.remote}"  # of all servers' tools
        self.name = NAME.sub("_", self.remote)[:64] or "tool"
        self.description = " ".join((tool.description or tool.title or self.remote).split())[:LONGEST]
        self.parameters = bounded(tool.input_schema)

    def asks(self, arguments: Mapping[str, Any], turn: TurnContext) -> str:
        return f"it sends these arguments to {self.connections.servers[self.server][:80]}"

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        found = self.connections.call(self.server, self.remote, call.arguments, turn.request)
        texts = [part.text for part in found.content if part.type == "text"]
        if not texts and found.structured_content is not None:
            texts = [json.dumps(found.structured_content, ensure_ascii=False)]
        text = "\n".join(texts)
        if found.is_error:
            raise JobFailed(f"{self.name} says: {' '.join(text.split())[:300] or 'it failed'}")
        images = [_image(part, self.name) for part in found.content if part.type == "image"][:MOST_IMAGES]
        shown = [image for image in images if image is not None]
        line = " ".join(text.split())
        summary = line[:160] or f"{len(shown)} images"
        yield ToolResult(summary, text=text, trusted=False, images=shown, answer=None if text else "Here it is.")


def _client(server: str, stack: AsyncExitStack) -> Any:
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    if server.lower().startswith(("http://", "https://")):
        return Client(server)
    try:
        command, *arguments = shlex.split(server)
    except ValueError as why:
        raise BadRequest(f"{server[:100]!r} is no command ({why}); give one such as 'python server.py', or a URL") from None
    quiet: TextIO = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123, SIM115
    return Client(stdio_client(StdioServerParameters(command=command, args=arguments), errlog=quiet))


def _usable(tool: Any) -> bool:
    """Whether its parameters can be decoded; a tool that asks for more than that is left out."""
    with suppress(BadRequest):
        return bool(bounded(tool.input_schema))
    return False


def _image(part: Any, name: str) -> ShownImage | None:
    try:
        return ShownImage.of(base64.b64decode(part.data, validate=True), f"{name}.png")
    except (ValueError, MmgenError):  # no base64
        return None


def _first(why: BaseException) -> BaseException:
    """Of a group of errors the first that says something."""
    while isinstance(why, BaseExceptionGroup):
        why = why.exceptions[0]
    return why


def _reason(why: BaseException) -> str:
    first = _first(why)
    return one_line(first)[:200] or type(first).__name__
