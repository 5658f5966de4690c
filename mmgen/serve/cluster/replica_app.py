"""The API's routes on a replica: behind the ingress, which has checked keys, rates and sizes, and keeps history and files."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from mmgen.engine.job import Priority, Request
from mmgen.engine.telemetry.prometheus import exposition
from mmgen.library.store_pool import StorePool
from mmgen.serve import errors
from mmgen.serve.cluster.call import ForwardedCall, ReplicaMessage, ReplicaReport
from mmgen.serve.context import Caller
from mmgen.serve.model_catalog import ModelCatalog
from mmgen.serve.request_tracker import RequestTracker
from mmgen.serve.routes import anthropic_messages, chat, completions, embeddings, images, ollama, rerank
from mmgen.serve.settings import ServeConfig
from mmgen.serve.temporary_files import TemporaryFiles

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from mmgen.runtime import Runtime

log = logging.getLogger(__name__)
ROUTERS = (chat, completions, embeddings, images, rerank, anthropic_messages, ollama)


@dataclass(eq=False)
class RemoteCall:
    """A call that is under way on this replica."""

    call: ForwardedCall
    messages: asyncio.Queue[ReplicaMessage | None] = field(default_factory=asyncio.Queue)
    requests: list[Request] = field(default_factory=list)
    kept: list[Mapping[str, Any]] = field(default_factory=list)
    cancelled: bool = False


NOW: ContextVar[RemoteCall | None] = ContextVar("mmgen_remote_call", default=None)


def asked_at() -> float:
    """When the call came, by the ingress's clock: this machine's may be another one."""
    now = NOW.get()
    return time.time() if now is None else now.call.created


class ReplicaTracker(RequestTracker):
    """Requests get the id, the time and the seed that the ingress gave them."""

    def begin(self, kind: str, user: str, priority: Priority) -> Request:
        now = NOW.get()
        request = super().begin(kind, user, "batch" if now is not None and now.call.priority == "batch" else priority)
        if now is not None:
            self.rename(request, now.call.id)
            request.created, request.seed = now.call.created, now.call.seed
            now.requests.append(request)
            if now.cancelled:
                request.cancel()
        return request


class CollectedHistory:
    """Entries go to the ingress with the end of the answer; see `History.add`."""

    def add(
        self,
        user: str,
        request_id: str,
        kind: str,
        asked: Mapping[str, Any],
        result: Mapping[str, Any],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        if (now := NOW.get()) is not None:
            now.kept.append({"kind": kind, "asked": asked, "result": result, "files": dict(files or {})})


class ReplicaApp:
    """A runtime behind the routes; called from one event loop."""

    def __init__(self, rt: Runtime, settings: ServeConfig, files: Path) -> None:
        """`files`: the ingress's folder of images that are answered as URLs."""
        self.rt, self.app, self._calls = rt, FastAPI(docs_url=None, redoc_url=None), dict[str, RemoteCall]()
        state = self.app.state
        state.rt, state.settings, state.stores = rt, settings, StorePool(rt)
        state.history = CollectedHistory() if settings.history else None
        state.catalog, state.kept_files = ModelCatalog(rt, settings.models), TemporaryFiles(files, asked_at)
        state.tracker = self.tracker = ReplicaTracker(settings.max_requests, rt.engine.soonest)
        state.pool = ThreadPoolExecutor(settings.max_requests, "mmgen-replica")
        errors.install(self.app)
        for route in ROUTERS:
            self.app.include_router(route.router)

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        """The answer piece by piece. Who stops reading cancels it."""
        remote = self._calls[call.id] = RemoteCall(call)
        task = asyncio.create_task(self._run(remote))
        try:
            while (message := await remote.messages.get()) is not None:
                yield message
        finally:
            self._calls.pop(call.id, None)
            if not task.done():
                self._cancel(remote)

    async def cancel(self, id: str) -> None:
        """Its jobs end before their next quantum."""
        if (remote := self._calls.get(id)) is not None:
            self._cancel(remote)

    async def report(self) -> ReplicaReport:
        engine = self.rt.engine
        state = engine.metrics.now()
        loaded = {name.partition(" ")[2]: 0 for name, where in state.models.items() if where == "awake"}
        return ReplicaReport(loaded, state.queue_s, engine.trouble, exposition(engine.metrics))

    def close(self) -> None:
        self.app.state.pool.shutdown(wait=False)
        self.app.state.stores.close()

    def _cancel(self, remote: RemoteCall) -> None:
        remote.cancelled = True
        for request in remote.requests:
            request.cancel()

    async def _run(self, remote: RemoteCall) -> None:
        NOW.set(remote)
        call, error, gone = remote.call, "", asyncio.Event()
        bodies = [call.body]

        async def receive() -> MutableMapping[str, Any]:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                remote.messages.put_nowait(ReplicaMessage("start", message["status"], tuple(message.get("headers", ()))))
            elif message.get("body"):
                remote.messages.put_nowait(ReplicaMessage("body", body=bytes(message["body"])))

        try:
            await self.app(self._scope(call), receive, send)
        except Exception as why:
            log.error("request %s failed", call.id, exc_info=why)
            error = errors.FAILED
        spent = sum(request.device_ms for request in remote.requests)
        entries = [self.tracker.get(request.id) for request in remote.requests]
        error = error or next((one.error for one in entries if one.error), "")
        remote.messages.put_nowait(ReplicaMessage("end", device_ms=spent, error=error, kept=tuple(remote.kept)))
        remote.messages.put_nowait(None)

    def _scope(self, call: ForwardedCall) -> dict[str, Any]:
        caller = Caller(call.user, call.scopes, call.stores)
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": call.method, "scheme": "http",
            "path": call.path, "raw_path": call.path.encode(), "query_string": call.query, "root_path": "",
            "headers": list(call.headers), "client": ("127.0.0.1", 0), "server": ("127.0.0.1", 80), "state": {"caller": caller},
        }  # fmt: skip
