"""A line of a batch, answered by a replica. Called in a batch's thread; the fleet is on the server's event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import Closed, JobFailed, MmgenError
from mmgen.serve import errors
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.forwarding import FORWARDED, forwarded_call, keep, played, reference
from mmgen.serve.context import Caller

if TYPE_CHECKING:
    from fastapi import FastAPI

HEADERS = [(b"content-type", b"application/json")]


def answered(
    app: FastAPI, fleet: Fleet, path: str, body: Mapping[str, Any], caller: Caller, request: Request
) -> tuple[int, dict[str, Any]]:
    """Its status and its answer, or its error. Blocks.

    Raises what `Dispatcher.play` raises, RetryLater where the replica has no room, and Closed while the server begins or ends.
    """
    if fleet.loop is None:
        raise Closed("the replicas are not there yet, or no longer")
    return asyncio.run_coroutine_threadsafe(_answered(app, fleet, path, dict(body), caller, request), fleet.loop).result()


async def _answered(
    app: FastAPI, fleet: Fleet, path: str, body: dict[str, Any], caller: Caller, request: Request
) -> tuple[int, dict[str, Any]]:
    route, status, parts = FORWARDED[path], 200, list[bytes]()
    model = reference(route, app.state.catalog, str(body["model"]) if body.get("model") else None)
    fleet.dispatcher.router.check(model)
    scope = {"method": "POST", "path": path, "query_string": b"", "headers": HEADERS}
    call = forwarded_call(route, scope, body, json.dumps(body).encode(), caller, request)
    async with played(fleet.dispatcher, route, model, call, body, request) as messages:
        async for message in messages:
            if message.kind == "start":
                status = message.status
            elif message.kind == "body":
                parts.append(message.body)
            else:
                await asyncio.to_thread(keep, app, caller, request, message)
    told = _object(b"".join(parts))
    if status in (429, 503):
        raise errors.RetryLater(_message(told, "the replica has no room"))
    if status == 499:
        raise MmgenError(_message(told, "cancelled"))
    if told is None:
        raise JobFailed(f"the replica answered {status} with what is no JSON object")
    return status, told


def _object(body: bytes) -> dict[str, Any] | None:
    """None: another engine's answer that is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _message(told: dict[str, Any] | None, otherwise: str) -> str:
    error = (told or {}).get("error")
    return str(error.get("message", otherwise)) if isinstance(error, dict) else otherwise
