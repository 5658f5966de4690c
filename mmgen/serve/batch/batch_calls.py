"""One line of a batch, answered as its route would. Knows routes, no HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ValidationError

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Unauthorized
from mmgen.serve import errors
from mmgen.serve.accounts.audit import worked
from mmgen.serve.cluster import batch_line
from mmgen.serve.context import Caller, Context, context
from mmgen.serve.routes.chat import ChatRequest, ChatStream
from mmgen.serve.routes.completions import CompletionRequest, CompletionStream
from mmgen.serve.routes.embeddings import EmbeddingsRequest, answer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.stores.batches import BatchLine, StoredBatch


@dataclass(frozen=True)
class BatchEndpoint:
    """A route that batches can call."""

    body: type[BaseModel]
    scope: str
    kind: str  # what lists and the history call it
    work: Callable[[Context, Any, Request], Mapping[str, Any]]


def _chat(here: Context, body: ChatRequest, request: Request) -> Mapping[str, Any]:
    _check(body)
    said = [message.plain(here.http.app.state.settings) for message in body.messages]
    return ChatStream(here, body, request).whole(said, body.chat_params())


def _check(body: Any) -> None:
    """Raises BadRequest."""
    if getattr(body, "stream", False) or getattr(body, "store_name", None) is not None:
        raise BadRequest("stream or store is given, and a batch has neither; leave it out")


def _completion(here: Context, body: CompletionRequest, request: Request) -> Mapping[str, Any]:
    _check(body)
    return CompletionStream(here, body, request, body.prompts(), body.completion_params()).whole()


def _embeddings(here: Context, body: EmbeddingsRequest, request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(answer(here, body, request))
    return found


ENDPOINTS = {
    "/v1/chat/completions": BatchEndpoint(ChatRequest, "chat", "chat", _chat),
    "/v1/completions": BatchEndpoint(CompletionRequest, "chat", "text", _completion),
    "/v1/embeddings": BatchEndpoint(EmbeddingsRequest, "embeddings", "embeddings", _embeddings),
}


def called(app: FastAPI, user: str, endpoint: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any], str]:
    """The status, the answer or its error, and the request's id. Blocks.

    Raises Closed and Busy where the server cannot take it now, and Cancelled where it ended in the middle.
    """
    what, here, request = ENDPOINTS[endpoint], _context(app, user), None
    try:
        here.caller.check(what.scope)
        checked = what.body.model_validate(body)
    except Exception as why:
        return _failed(why, "")
    rate = here.caller.rate
    if rate is not None and not app.state.rates.take(user, rate, spare=1).allowed:  # one is left for calls that somebody awaits
        raise errors.RetryLater(f"this key may call {rate} and did")
    request = here.tracker.begin(what.kind, user, "batch")
    error: BaseException | None = None
    try:
        if app.state.fleet is not None:
            _check(checked)
            return *batch_line.answered(app, app.state.fleet, endpoint, body, here.caller, request), request.id
        return 200, dict(what.work(here, checked, request)), request.id
    except BaseException as why:
        error = why
        if errors.status(why) in RETRIED or not isinstance(why, Exception):
            raise
        return _failed(why, request.id)
    finally:
        here.tracker.end(request, error)


def audit(app: FastAPI, batch: StoredBatch, line: BatchLine, status: int, id: str) -> None:
    """Writes an answered line to the audit log."""
    entry = app.state.tracker.get(id) if id else None
    models = [str(line.body["model"])[:200]] if "model" in line.body else []
    about = {"user": batch.user, "route": batch.endpoint, "batch": batch.id, "models": models, "status": status}
    app.state.audit.write({**about, **worked(entry, status)})


RETRIED = (429, 499, 503)
"""Statuses that say nothing of the line."""


def _failed(why: Exception, id: str) -> tuple[int, dict[str, Any], str]:
    if isinstance(why, ValidationError):
        first = why.errors()[0]
        why = BadRequest(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    return errors.status(why), errors.error_body(why), id


def _context(app: FastAPI, user: str) -> Context:
    """As a request of that user's would have it. Raises Unauthorized where the key was revoked or expired meanwhile."""
    found = next((key for key in app.state.keys.all() if key.name == user), None)
    if found is None and (user != Caller.user or app.state.keys.any()):
        raise Unauthorized(f'the key "{user}" is gone; send the batch with another')
    if found is not None and not found.valid(time.time()):
        raise Unauthorized(f'the key "{user}" was revoked or has expired; send the batch with another')
    caller = Caller() if found is None else Caller(found.name, found.scopes, found.stores, found.rate)
    scope = {"type": "http", "app": app, "headers": [], "path": "/", "method": "POST", "query_string": b"",
             "state": {"caller": caller}}  # fmt: skip
    return context(HttpRequest(scope))
