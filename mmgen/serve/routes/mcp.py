"""/mcp: pipelines as Model Context Protocol tools over streamable HTTP.

Stateless: every call is authenticated and scheduled as its HTTP request.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from pydantic import BaseModel, Field, ValidationError
from starlette.types import Receive, Scope, Send

from mmgen import __version__
from mmgen.engine.job import Request
from mmgen.errors import Forbidden
from mmgen.pipelines.image.image_pipeline import Images
from mmgen.serve import errors, pipeline_calls, serialization
from mmgen.serve.context import Context, context
from mmgen.serve.routes import pipelines, stores
from mmgen.serve.routes.store_schemas import Ask, Name, Search

INSTRUCTIONS = (
    "Answers from the user's documents with exact quotes (ask), passages (search), images drawn from words (txt2img), "
    "and more. "
    "An answer that abstained is not in the documents: say so."
)
HIDDEN = "rag-text"
"""Offered as ask, with names in place of paths."""


class AskTool(Ask):
    store: Name = Field(description="Name of the store.")


class SearchTool(Search):
    store: Name = Field(description="Name of the store.")


class Endpoint:
    """What stands at /mcp."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.mcp.asgi_app(scope, receive, send)


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """While it lasts /mcp answers."""
    server = Server("mmgen", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool)
    most = int(app.state.settings.max_body)
    app.state.mcp = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=most)
    async with app.state.mcp.run():
        yield


async def list_tools(given: ServerRequestContext[Any, HttpRequest], params: PaginatedRequestParams | None) -> ListToolsResult:
    """Those that the key may call."""
    assert given.request is not None
    called_by = context(given.request)
    return ListToolsResult(tools=await asyncio.to_thread(offered, called_by))


def offered(called_by: Context) -> list[Tool]:
    found = [
        Tool(name=one.id, description=one.description, input_schema=one.parameters)
        for one in pipelines.offered(called_by.rt, called_by.caller)
        if one.id != HIDDEN
    ]
    try:
        called_by.caller.check("stores")
    except Forbidden:
        return found
    return [
        Tool(
            name="ask",
            description="Answer a question from a store's documents, with exact quotes.",
            input_schema=schema(AskTool),
        ),
        Tool(name="search", description="The passages of a store nearest to a query.", input_schema=schema(SearchTool)),
        *found,
    ]


def schema(body: type[BaseModel]) -> dict[str, Any]:
    found = body.model_json_schema()
    found["properties"].pop("stream", None)
    return found


async def call_tool(given: ServerRequestContext[Any, HttpRequest], params: CallToolRequestParams) -> CallToolResult:
    """Runs it. What a user can fix is told in the result, as the protocol wants it, so that a model reads it."""
    assert given.request is not None
    called_by, said = context(given.request), params.arguments or {}
    try:
        request, work = prepared(called_by, params.name, said)
        return await pipeline_calls.in_thread(
            called_by, request, work
        )  # the transport itself watches for a client that hangs up
    except ValidationError as why:
        return failed(wrong(why.errors()[0]))
    except RequestValidationError as why:
        return failed(wrong(why.errors()[0]))
    except Exception as why:
        return failed(errors.error_body(why)["error"]["message"])


def prepared(called_by: Context, name: str, said: dict[str, Any]) -> tuple[Request, Callable[[], CallToolResult]]:
    """The engine's request, and the work that answers it."""
    if name == "ask":
        ask = AskTool.model_validate(said)
        request = called_by.begin("rag-text", "stores", "interactive", ask.store)
        return request, lambda: plain(stores.answered(ask.store, ask, called_by, request))
    if name == "search":
        search = SearchTool.model_validate(said)
        request = called_by.begin("rag-search", "stores", "interactive", search.store)
        return request, lambda: plain(stores.searched(search.store, search, called_by, request))
    request = pipelines.begin(name, called_by)
    return request, lambda: shown(called_by, request, name, said)


def shown(called_by: Context, request: Request, name: str, said: dict[str, Any]) -> CallToolResult:
    """Images as images, everything else as JSON."""
    result = pipelines.called(name, said, called_by, request)
    pipelines.keep(called_by, request, said, result)
    images: list[ContentBlock] = []
    if isinstance(result, Images):
        files = serialization.files(result)
        images = [ImageContent(data=base64.b64encode(file).decode(), mime_type="image/png") for file in files]
        structured = serialization.recipes(result)
    else:
        structured = {"result": serialization.to_json(result)}
    text = TextContent(text=json.dumps(structured, ensure_ascii=False))
    return CallToolResult(content=[*images, text], structured_content=structured)


def plain(answer: BaseModel) -> CallToolResult:
    structured = answer.model_dump(mode="json")
    return CallToolResult(content=[TextContent(text=json.dumps(structured, ensure_ascii=False))], structured_content=structured)


def failed(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=message)], is_error=True)


def wrong(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "body")
    return f"{where}: {error['msg']}" if where else str(error["msg"])
