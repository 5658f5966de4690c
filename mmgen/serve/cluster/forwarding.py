"""Which calls replicas answer, and what such a call needs: its model, a seed, and what it is expected to cost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI


@dataclass(frozen=True)
class ForwardedRoute:
    """A route that replicas answer."""

    kind: str  # as lists and the history call it
    model: str  # kind of the default model
    seed: tuple[str, ...] | None = None  # where its body holds a seed

    @property
    def scope(self) -> str:
        """Of a key, that it takes."""
        return {"text": "chat", "encoder": "embeddings", "denoiser": "images"}[self.model]


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


def reference(route: ForwardedRoute, catalog: ModelCatalog, named: str | None) -> str:
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


@asynccontextmanager
async def played(
    dispatcher: Dispatcher, route: ForwardedRoute, model: str, call: ForwardedCall, told: dict[str, Any], request: Request
) -> AsyncIterator[AsyncGenerator[ReplicaMessage, None]]:
    """The answer's messages; see `Dispatcher.play`. `told`: its body as JSON. Who cancels the request ends them."""
    work = ClusterRequest(request.id, call.user, model, units(route, told), chain(prompt(told)))
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def cancelled(_: Request) -> None:  # by whoever, in whatever thread
        loop.call_soon_threadsafe(stop.set)

    request.when_cancelled(cancelled)
    async with aclosing(dispatcher.play(work, call, stop)) as messages:
        yield messages


def forwarded_call(
    route: ForwardedRoute, scope: Any, told: dict[str, Any], body: bytes, caller: Caller, request: Request
) -> ForwardedCall:
    """`scope`: method, path, query_string and headers, as ASGI has them."""
    seed = int.from_bytes(hashlib.blake2b(request.id.encode(), digest_size=4).digest(), "big")
    if route.seed is not None and told:
        body = json.dumps(seeded(told, route.seed, seed)).encode()
    headers = tuple((name, value) for name, value in scope["headers"] if name in PASSED)
    return ForwardedCall(
        request.id, scope["method"], scope["path"], scope["query_string"], headers, body,
        caller.user, caller.scopes, caller.stores, request.created, seed, request.priority,
    )  # fmt: skip


def keep(app: FastAPI, caller: Caller, request: Request, end: ReplicaMessage) -> None:
    """In the history, once, whatever number of replicas worked at it."""
    history = app.state.history
    for entry in end.kept if history is not None else ():
        try:
            history.add(caller.user, request.id, entry["kind"], entry["asked"], entry["result"], entry["files"])
        except MmgenError as why:
            errors.log.warning("not in the history: %s", why)


def seeded(told: dict[str, Any], place: tuple[str, ...], seed: int) -> dict[str, Any]:
    """The body with a seed, where it has none or asks for any (-1)."""
    name, *rest = place
    inner = told.get(name)
    if rest:
        return {**told, name: seeded(inner or {}, tuple(rest), seed)} if inner is None or isinstance(inner, dict) else told
    return {**told, name: seed} if inner in (None, -1) else told


def units(route: ForwardedRoute, told: dict[str, Any]) -> float:
    """How much a call asks for: tokens, denoising steps or texts."""

    def number(*names: str, otherwise: float, of: dict[str, Any] = told) -> float:
        given = (of.get(name) for name in names)
        return next((float(one) for one in given if isinstance(one, int | float) and 0 < one < 1e6), otherwise)

    if route.model == "text":
        options = given if isinstance(given := told.get("options"), dict) else {}
        asked = number("max_tokens", "max_completion_tokens", otherwise=float(TOKENS))
        return number("n", otherwise=1.0) * min(asked, number("num_predict", otherwise=asked, of=options))
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
