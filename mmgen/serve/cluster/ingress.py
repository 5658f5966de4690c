"""Before the routes of `mmgen serve --ray`: calls of models go to replicas, all others to the routes of this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmgen.cluster.prefixes import chain
from mmgen.cluster.work import ClusterRequest
from mmgen.engine.job import Request
from mmgen.errors import MmgenError
from mmgen.serve import errors
from mmgen.serve.cluster.call import ForwardedCall, ReplicaMessage
from mmgen.serve.cluster.dispatcher import Dispatcher
from mmgen.serve.context import Caller
from mmgen.serve.model_catalog import ModelCatalog
from mmgen.serve.telemetry import logs

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True)
class ForwardedRoute:
    """A route that replicas answer."""

    kind: str  # as lists and the history call it
    model: str  # kind of the default model
    seed: tuple[str, ...] | None = None  # where its body holds a seed


FORWARDED = {
    "/v1/chat/completions": ForwardedRoute("chat", "text", ("seed",)),
    "/v1/completions": ForwardedRoute("text", "text", ("seed",)),
    "/v1/messages": ForwardedRoute("chat", "text"),
    "/v1/embeddings": ForwardedRoute("embeddings", "encoder"),
    "/v1/rerank": ForwardedRoute("rerank", "encoder"),
    "/v1/images/generations": ForwardedRoute("txt2img", "denoiser", ("seed",)),
    "/v1/images/edits": ForwardedRoute("img2img", "denoiser"),
    "/v1/images/variations": ForwardedRoute("variations", "denoiser"),
    "/api/chat": ForwardedRoute("chat", "text", ("options", "seed")),
    "/api/generate": ForwardedRoute("text", "text", ("options", "seed")),
    "/api/embed": ForwardedRoute("embeddings", "encoder"),
    "/api/embeddings": ForwardedRoute("embeddings", "encoder"),
}
PASSED = (b"content-type", b"accept", b"host")
"""Headers that replicas are sent; no key is."""
TOKENS, STEPS = 256, 30
"""What a call is taken to ask for that does not say it."""
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
        try:
            await self._forward(route, scope, told, body, receive, send)
        except MmgenError as why:
            busy = scope["app"].state.rt.engine.soonest() if isinstance(why, errors.RetryLater) else None
            await errors.response(why, busy)(scope, receive, send)

    async def _forward(
        self, route: ForwardedRoute, scope: Scope, told: dict[str, Any], body: bytes, receive: Receive, send: Send
    ) -> None:
        state, caller = scope["app"].state, scope.setdefault("state", {}).get("caller") or Caller()
        named = told.get("model") or _form_model(body)
        model = _reference(route, state.catalog, str(named) if named else None)
        self.dispatcher.router.check(model)
        request: Request = state.tracker.begin(route.kind, caller.user, "interactive")
        scope["state"]["request_id"] = request.id
        scope["state"]["models"] = (str(named or model),)
        logs.request_id.set(request.id)
        seed = int.from_bytes(hashlib.blake2b(request.id.encode(), digest_size=4).digest(), "big")
        call = _call(route, scope, told, body, caller, request, seed)
        work = ClusterRequest(request.id, caller.user, model, units(route, told), chain(prompt(told)))
        answer = _Answer(scope["app"], request, caller, send)
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def cancelled(_: Request) -> None:  # by whoever, in whatever thread
            loop.call_soon_threadsafe(stop.set)

        request.when_cancelled(cancelled)
        watching = asyncio.create_task(_watch(receive, request))
        try:
            async with aclosing(self.dispatcher.play(work, call, stop)) as messages:
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
            await asyncio.to_thread(self._keep, message)
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

    def _keep(self, end: ReplicaMessage) -> None:
        """In the history, once, whatever number of replicas worked at it."""
        history = self.app.state.history
        for entry in end.kept if history is not None else ():
            try:
                history.add(self.caller.user, self.request.id, entry["kind"], entry["asked"], entry["result"], entry["files"])
            except MmgenError as why:
                errors.log.warning("not in the history: %s", why)


def _reference(route: ForwardedRoute, catalog: ModelCatalog, named: str | None) -> str:
    """Raises UnknownModel; but a reranker of the registry goes to where the encoder is."""
    default: str = catalog.defaults[route.model]
    if named is None:
        return default
    try:
        return catalog.get(named.removesuffix(":latest")).reference
    except errors.UnknownModel:
        if route.kind == "rerank":
            return default
        raise


def _call(
    route: ForwardedRoute, scope: Scope, told: dict[str, Any], body: bytes, caller: Caller, request: Request, seed: int
) -> ForwardedCall:
    if route.seed is not None and told:
        body = json.dumps(seeded(told, route.seed, seed)).encode()
    headers = tuple((name, value) for name, value in scope["headers"] if name in PASSED)
    return ForwardedCall(
        request.id, scope["method"], scope["path"], scope["query_string"], headers, body,
        caller.user, caller.scopes, caller.stores, request.created, seed,
    )  # fmt: skip


def seeded(told: dict[str, Any], place: tuple[str, ...], seed: int) -> dict[str, Any]:
    """The body with a seed, where it has none or asks for any (-1)."""
    name, *rest = place
    inner = told.get(name)
    if rest:
        return {**told, name: seeded(inner or {}, tuple(rest), seed)} if inner is None or isinstance(inner, dict) else told
    return {**told, name: seed} if inner in (None, -1) else told


def units(route: ForwardedRoute, told: dict[str, Any]) -> float:
    """How much a call asks for: tokens, denoising steps or texts."""

    def number(*names: str, otherwise: float) -> float:
        given = (told.get(name) for name in names)
        return next((float(one) for one in given if isinstance(one, int | float) and 0 < one < 1e6), otherwise)

    if route.model == "text":
        options = told.get("options") if isinstance(told.get("options"), dict) else {}
        asked = number("max_tokens", "max_completion_tokens", otherwise=float(TOKENS))
        return number("n", otherwise=1.0) * min(asked, float((options or {}).get("num_predict") or asked))
    if route.model == "denoiser":
        return number("n", otherwise=1.0) * number("steps", otherwise=float(STEPS))
    texts = told.get("input", told.get("documents", ""))
    return float(len(texts)) if isinstance(texts, list) and texts else 1.0


def prompt(told: dict[str, Any]) -> str:
    """What a call's model reads first: its beginning may be cached somewhere."""
    if isinstance(told.get("prompt"), str):
        return str(told["prompt"])
    messages = told.get("messages")
    return json.dumps([told.get("system"), messages], ensure_ascii=False) if isinstance(messages, list) else ""


def _json(scope: Scope, body: bytes) -> dict[str, Any]:
    """Empty for what is none: the replica says so."""
    if any(name == b"content-type" and b"multipart" in value for name, value in scope["headers"]):
        return {}
    try:
        told = json.loads(body)
    except ValueError:
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
