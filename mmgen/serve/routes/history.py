"""/v1/history: the caller's past requests and results."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from mmgen.errors import NotFound
from mmgen.serve.context import Here
from mmgen.stores.history import MOST, History

router = APIRouter(prefix="/v1/history", tags=["history"])
IN_MEMORY = 2**24  # bytes of an export; a larger one goes through a temporary file
SHOWN = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""What a browser may show in place, by its first bytes; all else is to be saved."""


class Item(BaseModel):
    """One request and its result."""

    object: str = "history.entry"
    id: str
    kind: str
    created: float
    asked: dict[str, Any]
    result: dict[str, Any]
    files: list[dict[str, Any]]


class Page(BaseModel):
    """Newest first. `before` of the next page is this one's `last_id`."""

    object: str = "list"
    data: list[Item]
    last_id: str | None
    has_more: bool


class DeletedRequests(BaseModel):
    object: str = "history.deleted"
    deleted: int


def _history(context: Here) -> History:
    history: History | None = context.http.app.state.history
    if history is None:
        raise NotFound("this server keeps no history; start it without --no-history")
    return history


Kept = Annotated[History, Depends(_history)]


@router.get("")
def entries(
    context: Here,
    history: Kept,
    q: Annotated[str, Query(max_length=1000)] = "",
    kind: str | None = None,
    limit: Annotated[int, Query(ge=1, lt=MOST)] = 20,
    before: str | None = None,
) -> Page:
    """Search what you asked and got: all words of `q`, in requests and answers. `before`: the last id of the page before."""
    found = history.entries(context.caller.user, q, kind, limit + 1, before)
    items = [Item(**one.to_dict()) for one in found[:limit]]
    return Page(data=items, last_id=items[-1].id if items else None, has_more=len(found) > limit)


@router.get("/export")
def export(context: Here, history: Kept) -> StreamingResponse:
    """All of it as a zip: history.jsonl and the files."""
    file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  closed when it was sent
    history.export(context.caller.user, file)
    file.seek(0)
    headers = {"Content-Disposition": 'attachment; filename="mmgen-history.zip"'}
    return StreamingResponse(_parts(file), media_type="application/zip", headers=headers)


@router.get("/{id}")
def entry(context: Here, history: Kept, id: str) -> Item:
    """One request and its result."""
    return Item(**history.get(context.caller.user, id).to_dict())


@router.get("/{id}/files/{name}")
def file(context: Here, history: Kept, id: str, name: str) -> Response:
    """A file of the result, such as an image."""
    data = history.read(context.caller.user, id, name)
    kind = next((kind for start, kind in SHOWN.items() if data.startswith(start)), None)
    headers = {} if kind else {"Content-Disposition": "attachment"}
    return Response(data, media_type=kind or "application/octet-stream", headers=headers)


@router.delete("")
def delete_all(context: Here, history: Kept) -> DeletedRequests:
    """Forget all that you asked and got."""
    return DeletedRequests(deleted=history.delete_all(context.caller.user))


@router.delete("/{id}")
def delete(context: Here, history: Kept, id: str) -> DeletedRequests:
    """Forget one request and its result."""
    history.delete(context.caller.user, id)
    return DeletedRequests(deleted=1)


def _parts(file: Any) -> Iterator[bytes]:
    with file:
        while part := file.read(2**18):
            yield part
