"""Requests and health: /v1/requests, /healthz, /readyz and /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from mmgen.engine.telemetry.prometheus import OPENMETRICS, exposition
from mmgen.serve.cluster import replica_metrics
from mmgen.serve.context import Context, Here
from mmgen.serve.request_tracker import TrackedRequest, unknown

router = APIRouter(tags=["status"])


@router.get("/v1/requests")
async def list_requests(context: Here) -> dict[str, Any]:
    """The caller's requests, the latest first: under way, and the last that ended. Whoever may see the engine sees all."""
    entries = [entry for entry in context.tracker.entries() if _sees(context, entry)]
    return {"object": "list", "data": [_told(entry) for entry in reversed(entries)]}


@router.get("/v1/requests/{id}")
async def get_request(id: str, context: Here) -> dict[str, Any]:
    """The state of a request, by its x-request-id; an answer's own id, such as chatcmpl-..., will do."""
    return _told(_entry(context, id))


@router.post("/v1/requests/{id}/cancel")
@router.delete("/v1/requests/{id}")
async def cancel_request(id: str, context: Here) -> dict[str, Any]:
    """Ends it before its next quantum. One that has ended stays as it is."""
    entry = _entry(context, id)
    if entry.ended is None:
        entry.request.cancel()
    return _told(entry)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "ok"}


@router.get("/readyz", response_model=None)
async def readyz(context: Here) -> Response:
    """Whether it takes requests: 503 while it shuts down, a step hangs or the cluster has lost its head."""
    fleet = context.http.app.state.fleet
    trouble = "this server shuts down" if context.tracker.closed else context.rt.engine.trouble
    trouble = trouble or (fleet.trouble if fleet is not None else "")
    return JSONResponse({"status": trouble or "ok"}, 503 if trouble else 200)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(context: Here) -> Response:
    """In the Prometheus text format, or OpenMetrics if asked for."""
    context.caller.check("engine")
    fleet = context.http.app.state.fleet
    if fleet is not None:
        told = replica_metrics.exposition(fleet.dispatcher, exposition(context.rt.engine.metrics))
        return Response(told, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
    wanted = OPENMETRICS in context.http.headers.get("accept", "")
    kind = f"{OPENMETRICS}; version=1.0.0; charset=utf-8" if wanted else "text/plain; version=0.0.4; charset=utf-8"
    return Response(exposition(context.rt.engine.metrics, wanted), headers={"Content-Type": kind})


def _entry(context: Context, id: str) -> TrackedRequest:
    """Raises NotFound, for another's too."""
    id = id.rpartition("-")[2]
    entry = context.tracker.get(id)
    if not _sees(context, entry):
        raise unknown(id)
    return entry


def _sees(context: Context, entry: TrackedRequest) -> bool:
    return entry.request.user == context.caller.user or "engine" in context.caller.scopes


def _told(entry: TrackedRequest) -> dict[str, Any]:
    request = entry.request
    state = "cancelling" if entry.ended is None and request.cancelled else entry.state
    return {
        "id": request.id,
        "object": "request",
        "kind": entry.kind,
        "user": request.user,
        "priority": request.priority,
        "status": state,
        "created": entry.created,
        "ended": entry.ended,
        "error": entry.error or None,
    }
