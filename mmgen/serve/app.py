"""Builds the FastAPI application: routers, shared state and shutdown."""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.routing import Route

from mmgen import __version__
from mmgen.library.store_pool import StorePool
from mmgen.pipelines.agent.mcp_tools import McpConnections
from mmgen.serve import errors
from mmgen.serve.accounts import keys_file
from mmgen.serve.accounts.audit import Audit, AuditLog
from mmgen.serve.accounts.quotas import Quotas
from mmgen.serve.batch import batch_calls
from mmgen.serve.batch.batch_worker import BatchWorker
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.ingress import ClusterIngress
from mmgen.serve.dialects.drawings import Drawings
from mmgen.serve.dialects.error_forms import ErrorForms
from mmgen.serve.dialects.response_store import ResponseStore
from mmgen.serve.model_catalog import ModelCatalog
from mmgen.serve.request_tracker import RequestTracker
from mmgen.serve.routes import (
    a1111,
    anthropic_messages,
    assistant,
    audio,
    batches,
    chat,
    cluster,
    commands,
    completions,
    conversations,
    embeddings,
    history,
    images,
    keys,
    mcp,
    models,
    ollama,
    pipelines,
    rerank,
    responses,
    status,
    stores,
)
from mmgen.serve.security import secure
from mmgen.serve.settings import ServeConfig
from mmgen.serve.telemetry import tracing
from mmgen.serve.telemetry.logs import AccessLog
from mmgen.serve.temporary_files import TemporaryFiles
from mmgen.stores.batches import BatchStore
from mmgen.stores.conversations import Conversations
from mmgen.stores.history import History
from mmgen.stores.keys import KeyStore
from mmgen.stores.quotas import QuotaStore

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mmgen.runtime import Runtime

ROUTERS: tuple[APIRouter, ...] = (
    models.router,
    chat.router,
    assistant.router,
    responses.router,
    anthropic_messages.router,
    ollama.router,
    a1111.router,
    a1111.controlnet,
    audio.router,
    batches.router,
    completions.router,
    embeddings.router,
    images.router,
    rerank.router,
    stores.router,
    pipelines.router,
    commands.router,
    cluster.router,
    status.router,
    history.router,
    conversations.router,
    keys.router,
)
CANCELLING_S = 10.0
"""Seconds that a shutdown waits for cancelled requests."""


def create_app(rt: Runtime, settings: ServeConfig | None = None, fleet: Fleet | None = None) -> FastAPI:
    """The HTTP API over a runtime, which the caller closes. `fleet`: replicas that answer calls of models in its place.

    Raises BadRequest where it would serve other machines without keys, NotFound for a model that is not here.
    """
    settings = settings or ServeConfig()
    # FastAPI's own docs pages load scripts from a CDN
    app = FastAPI(title="mmgen", version=__version__, lifespan=_life, docs_url=None, redoc_url=None)
    app.state.rt, app.state.settings, app.state.keys = rt, settings, KeyStore(_accounts(rt))
    app.state.fleet = fleet
    app.state.quotas = quotas = _quotas(rt, app.state.keys, fleet)
    if settings.keys_file is not None:
        keys_file.apply(settings.keys_file, app.state.keys, quotas.store)
    app.state.token = secrets.token_urlsafe(32)  # of the home's owner, for the port file
    past = rt.config.history or rt.home / "history"
    app.state.history = History(past) if settings.history else None
    app.state.conversations = Conversations(past) if settings.history else None
    app.state.catalog = ModelCatalog(rt, settings.models)
    for served in () if fleet is None else fleet.served:
        app.state.catalog.add(served)
    app.state.stores, app.state.kept_files = StorePool(rt), TemporaryFiles(rt.home / "files")
    app.state.responses, app.state.drawings = ResponseStore(), Drawings()
    app.state.mcp_servers = McpConnections(settings.mcp)
    app.state.batches = BatchStore(rt.config.history or rt.home / "batches.db", f"{platform.node()}:{rt.home}")
    app.state.batch_worker = BatchWorker(app, app.state.batches)
    app.state.tracker = RequestTracker(settings.max_requests, rt.engine.soonest, quotas.check)
    rt.engine.admit = quotas.check  # of the page's requests, too
    app.state.pool = ThreadPoolExecutor(settings.max_requests, "mmgen-serve")  # one thread per concurrent request
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.append(Route("/mcp", mcp.Endpoint()))
    if fleet is not None:
        app.add_middleware(ClusterIngress, dispatcher=fleet.dispatcher)
    app.add_middleware(RequestIdHeader)
    secure(app, settings, app.state.keys, app.state.token)
    app.state.audit = None
    if settings.audit is not None:
        app.state.audit = audit = AuditLog(settings.audit, int(settings.audit_size), settings.audit_files)
        app.state.batch_worker.told = partial(batch_calls.audit, app)
        app.add_middleware(Audit, log=audit, tracker=app.state.tracker, prompts=settings.audit_prompts)
    app.add_middleware(AccessLog)
    app.state.end_traces = (lambda: None) if settings.otel is None else tracing.install(app, settings.otel)
    app.add_middleware(ErrorForms)
    return app


def _accounts(rt: Runtime) -> Path | str:
    """Where keys and quotas are."""
    return rt.config.accounts or rt.home / "keys.db"


def _quotas(rt: Runtime, keys: KeyStore, fleet: Fleet | None) -> Quotas:
    store, users = QuotaStore(_accounts(rt)), rt.engine.metrics.users
    spent = (lambda: users) if fleet is None else lambda: fleet.dispatcher.spent(users)
    return Quotas(store, spent, lambda: [key.name for key in keys.all()])


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """On shutdown: refuse new requests, drain running ones, then cancel the rest."""
    worker: BatchWorker = app.state.batch_worker
    worker.start()
    app.state.quotas.start()
    fleet: Fleet | None = app.state.fleet
    if fleet is not None:
        fleet.begin()
    async with mcp.running(app):
        yield
        worker.stop()
        tracker: RequestTracker = app.state.tracker
        tracker.close()
        if not await asyncio.to_thread(tracker.drained, app.state.settings.drain_s):
            tracker.cancel_all()
            await asyncio.to_thread(tracker.drained, CANCELLING_S)
    if fleet is not None:
        await fleet.close()
    await asyncio.to_thread(worker.join)
    app.state.pool.shutdown(wait=False)
    await asyncio.to_thread(app.state.mcp_servers.close)
    app.state.rt.engine.admit = lambda user: None
    state = app.state
    for opened in (state.quotas, state.keys, state.history, state.conversations, state.stores, state.batches, state.audit):
        if opened is not None:
            opened.close()
    app.state.end_traces()


class RequestIdHeader:
    """Adds the request id of `/v1/requests/ID` to the response headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start" and (id := scope.get("state", {}).get("request_id")):
                MutableHeaders(scope=message)["x-request-id"] = id
            await send(message)

        await self.app(scope, receive, tell if scope["type"] == "http" else send)
