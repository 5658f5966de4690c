"""Before the routes of `mmgen serve --ray`: calls of models go to replicas, all others to the routes of this process."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

from mmgen.engine.job import Request
from mmgen.errors import MmgenError
from mmgen.serve import errors
from mmgen.serve.cluster.call import ReplicaMessage
from mmgen.serve.cluster.dispatcher import Dispatcher
from mmgen.serve.cluster.forwarding import FORWARDED, ForwardedRoute, forwarded_call, keep, played, reference
from mmgen.serve.context import Caller
from mmgen.serve.telemetry import logs
from mmgen.serve.wire import bodies

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send


FORM_MODEL = re.compile(rb'name="model"\r\n\r\n([^\r]{1,200})\r\n')


class ClusterIngress:
    """Pure ASGI, behind keys, rates and limits."""

    def __init__(self, app: ASGIApp, dispatcher: Dispatcher) -> None:
        self.app, self.dispatcher = app, dispatcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = FORWARDED.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # the client has gone
        told = _json(scope, body)
        if isinstance(told.get("store"), str):  # stores are here
            await self.app(scope, _again(body, receive), send)
            return
        named = told.get("model") or _form_model(body)
        try:
            model = reference(route, scope["app"].state.catalog, str(named) if named else None)
            if not self.dispatcher.takes(model):
                await self.app(scope, _again(body, receive), send)
                return
            await self._forward(route, scope, told, model, body, receive, send)
        except MmgenError as why:
            busy = scope["app"].state.rt.engine.soonest() if isinstance(why, errors.RetryLater) else None
            await errors.response(why, busy)(scope, receive, send)

    async def _forward(
        self, route: ForwardedRoute, scope: Scope, told: dict[str, Any], model: str, body: bytes, receive: Receive, send: Send
    ) -> None:
        state, caller = scope["app"].state, scope.setdefault("state", {}).get("caller") or Caller()
        caller.check(route.scope)  # before it waits for a replica, which would say the same
        self.dispatcher.router.check(model)
        request: Request = state.tracker.begin(route.kind, caller.user, "interactive")
        scope["state"]["request_id"] = request.id
        scope["state"]["models"] = (str(told.get("model") or _form_model(body) or model),)
        logs.request_id.set(request.id)
        call = forwarded_call(route, scope, told, body, caller, request)
        answer = _Answer(scope["app"], request, caller, send)
        watching = asyncio.create_task(_watch(receive, request))
        try:
            async with played(self.dispatcher, route, model, call, told, request) as messages:
                async for message in messages:
                    await answer.pass_on(message)
        except BaseException as why:
            if not await answer.failed(why):
                raise
        finally:
            watching.cancel()
            state.tracker.end(request, answer.error)


class _Answer:
    """What a client is sent of a call."""

    def __init__(self, app: FastAPI, request: Request, caller: Caller, send: Send) -> None:
        self.app, self.request, self.caller, self.send = app, request, caller, send
        self.began = self.streams = False
        self.error: BaseException | None = None

    async def pass_on(self, message: ReplicaMessage) -> None:
        if message.kind == "start":
            headers = [(name, value) for name, value in message.headers if name.lower() != b"x-request-id"]
            self.streams = any(b"event-stream" in value or b"ndjson" in value for _, value in headers)
            self.began = True
            await self.send({"type": "http.response.start", "status": message.status, "headers": headers})
        elif message.kind == "body":
            await self.send({"type": "http.response.body", "body": message.body, "more_body": True})
        else:
            await asyncio.to_thread(keep, self.app, self.caller, self.request, message)
            self.error = MmgenError(message.error) if message.error else None
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def failed(self, why: BaseException) -> bool:
        """Whether the client could be told within the stream that has begun."""
        self.error = why
        if not (self.began and self.streams and isinstance(why, MmgenError)):
            return False
        event = b"data: " + json.dumps(errors.error_body(why)).encode() + b"\n\ndata: [DONE]\n\n"
        await self.send({"type": "http.response.body", "body": event, "more_body": False})
        return True


def _json(scope: Scope, body: bytes) -> dict[str, Any]:
    """Empty for what is none: the replica says so. Bodies whose values nobody has counted are not parsed."""
    if not scope["path"].startswith(bodies.ALWAYS) and bodies.is_other(Headers(scope=scope)):
        return {}
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _form_model(body: bytes) -> str | None:
    found = FORM_MODEL.search(body[:100_000])
    return found[1].decode("utf-8", "replace") if found else None


async def _read(receive: Receive) -> bytes | None:
    """The whole body, which the limits before this have bounded; None: the client hung up."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` from the beginning."""
    bodies = [body]

    async def given() -> Any:
        return {"type": "http.request", "body": bodies.pop(), "more_body": False} if bodies else await receive()

    return given


async def _watch(receive: Receive, request: Request) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    request.leave()
