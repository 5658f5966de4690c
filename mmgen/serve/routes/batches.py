"""/v1/files and /v1/batches: requests that are answered when nobody else wants the device."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from mmgen.errors import BadRequest, MmgenError, NotFound
from mmgen.serve import uploads
from mmgen.serve.batch import batch_lines
from mmgen.serve.batch.batch_calls import ENDPOINTS
from mmgen.serve.context import Context, Here
from mmgen.serve.wire.bounds import entries
from mmgen.stores.batches import KEPT_S, BatchStore, StoredBatch, StoredFile

router = APIRouter(prefix="/v1", tags=["batches"])
WINDOW_S = 86400.0
SUFFIXES = {"output": False, "error": True}
"""A batch's own files by the end of their ids, and whether they hold its failed lines."""


class NewBatch(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"] = "24h"
    metadata: Annotated[dict[str, str], entries(16)] | None = Field(None, max_length=16)


@router.post("/files")
async def upload(
    context: Here, file: Annotated[UploadFile, File()], purpose: Annotated[str, Form(max_length=40)] = "batch"
) -> dict[str, Any]:
    """Keeps a file for 30 days."""
    if purpose != "batch":
        raise BadRequest(f"purpose is {purpose!r}; this server keeps files for batches alone, documents go to /v1/stores")
    store, user = _store(context), context.caller.user
    data = await uploads.data_of(file, context.http.app.state.settings.max_body)
    return _file(await asyncio.to_thread(store.add_file, user, uploads.name_of(file), purpose, data))


@router.get("/files")
def files(context: Here, purpose: str | None = None) -> dict[str, Any]:
    """The caller's."""
    found = [_file(one) for one in _store(context).files(context.caller.user) if purpose in (None, one.purpose)]
    return _listed(found)


@router.get("/files/{id}")
def file(id: str, context: Here) -> dict[str, Any]:
    if (made := _of_batch(context, id)) is not None:
        batch, failed = made
        size = _store(context).outcome_size(batch.id, failed)
        return _file(StoredFile(id, f"{id}.jsonl", "batch_output", batch.ended or batch.created, size))
    return _file(_store(context).file(context.caller.user, id))


@router.get("/files/{id}/content", response_class=Response)
def content(id: str, context: Here) -> Response:
    """An upload, or the outcomes of a batch that has ended."""
    if (made := _of_batch(context, id)) is not None:
        batch, failed = made
        return StreamingResponse(_store(context).outcomes(batch.id, failed), media_type="application/jsonl")
    return Response(_store(context).data(context.caller.user, id), media_type="application/octet-stream")


@router.delete("/files/{id}")
def delete(id: str, context: Here) -> dict[str, Any]:
    """Batches that were made of it go on."""
    _store(context).delete_file(context.caller.user, id)
    return {"id": id, "object": "file", "deleted": True}


@router.post("/batches")
def create(body: NewBatch, context: Here) -> dict[str, Any]:
    """Begins a batch: every line of the file is answered once, whatever becomes of the server."""
    store, user = _store(context), context.caller.user
    if body.endpoint not in ENDPOINTS:
        raise BadRequest(f"endpoint is {body.endpoint[:60]!r}; it can be {', '.join(ENDPOINTS)}")
    context.caller.check(ENDPOINTS[body.endpoint].scope)
    lines = batch_lines.read(store.data(user, body.input_file_id), body.endpoint)
    made = store.add(user, body.endpoint, body.input_file_id, lines, body.metadata or {}, WINDOW_S)
    context.http.app.state.batch_worker.wake()
    return _told(made)


@router.get("/batches")
def batches(context: Here) -> dict[str, Any]:
    """The caller's."""
    return _listed([_told(one) for one in _store(context).batches(context.caller.user)])


@router.get("/batches/{id}")
def batch(id: str, context: Here) -> dict[str, Any]:
    return _told(_store(context).batch(context.caller.user, id))


@router.post("/batches/{id}/cancel")
def cancel(id: str, context: Here) -> dict[str, Any]:
    """Begins no more of its lines."""
    found = _store(context).cancel(context.caller.user, id)
    context.http.app.state.batch_worker.wake()
    return _told(found)


def _store(context: Context) -> BatchStore:
    """Raises Forbidden for a key that may neither chat nor embed."""
    try:
        context.caller.check("embeddings")
    except MmgenError:
        context.caller.check("chat")
    found: BatchStore = context.http.app.state.batches
    return found


def _of_batch(context: Context, id: str) -> tuple[StoredBatch, bool] | None:
    """Whose outcomes an id names, and whether the failed ones. Raises NotFound for those of a batch that has not ended."""
    name, _, suffix = id.rpartition("-")
    if suffix not in SUFFIXES:
        return None
    found = _store(context).batch(context.caller.user, name)
    if found.ended is None:
        raise NotFound(f'there is no file "{id[:100]}" yet; {name[:60]} is {found.status}')
    return found, SUFFIXES[suffix]


def _file(one: StoredFile) -> dict[str, Any]:
    return {
        "id": one.id, "object": "file", "bytes": one.size, "created_at": int(one.created), "filename": one.name,
        "purpose": one.purpose, "status": "processed", "expires_at": int(one.created + KEPT_S),
    }  # fmt: skip


def _told(one: StoredBatch) -> dict[str, Any]:
    ended = None if one.ended is None else int(one.ended)
    when = {f"{status}_at": ended if one.status == status else None for status in ("completed", "expired", "cancelled")}
    return {
        "id": one.id, "object": "batch", "endpoint": one.endpoint, "errors": None, "input_file_id": one.input,
        "completion_window": "24h", "status": one.status, "created_at": int(one.created), "in_progress_at": int(one.created),
        "expires_at": int(one.expires), "finalizing_at": ended, "failed_at": None, "cancelling_at": None, **when,
        "output_file_id": f"{one.id}-output" if ended and one.completed else None,
        "error_file_id": f"{one.id}-error" if ended and one.failed else None,
        "request_counts": {"total": one.total, "completed": one.completed, "failed": one.failed},
        "metadata": dict(one.metadata),
    }  # fmt: skip


def _listed(found: list[dict[str, Any]]) -> dict[str, Any]:
    ids = {"first_id": found[0]["id"] if found else None, "last_id": found[-1]["id"] if found else None}
    return {"object": "list", "data": found, "has_more": False, **ids}
