"""Middleware that tells errors in the form of the API that was called: ours are OpenAI's, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANTHROPIC = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


def anthropic(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    kind = ANTHROPIC.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error["message"]}}


def ollama(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    return {"error": error["message"]}


def automatic1111(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    return {"error": "HTTPException", "detail": error["message"], "body": "", "errors": error["message"]}


FORMS: tuple[tuple[str, Callable[[Mapping[str, Any], int], dict[str, Any]]], ...] = (
    ("/v1/messages", anthropic),
    ("/api/", ollama),
    ("/sdapi/", automatic1111),
)
"""Beginnings of paths."""


def status_of(body: Mapping[str, Any]) -> int:
    """Of an error that comes in the middle of a stream, whose answer began with 200."""
    return {"rate_limit_error": 429, "server_error": 500}.get(body["error"]["type"], 400)


class ErrorForms:
    """Rewrites the JSON of answers from 400 on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = next((form for path, form in FORMS if scope.get("path", "").startswith(path)), None)
        await self.app(scope, receive, send if form is None else _Rewriter(send, form).send)


class _Rewriter:
    """One answer: its start waits for its body, where it is an error."""

    def __init__(self, send: Send, form: Callable[[Mapping[str, Any], int], dict[str, Any]]) -> None:
        self._send, self._form = send, form
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            body = self._rewritten(self._start["status"])
            MutableHeaders(scope=self._start)["content-length"] = str(len(body))
            await self._send(self._start)
            await self._send({"type": "http.response.body", "body": body})

    def _rewritten(self, status: int) -> bytes:
        try:
            error = orjson.loads(self._body)["error"]
            return orjson.dumps(self._form(error, status))
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return self._body
