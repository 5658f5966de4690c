"""The audit log: a line of JSON for each call of the API, of who made it, what it asked for and what became of it.

What people wrote is in it only where it is asked for. The file is readable by its owner alone, and rotated by its size.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.datastructures import Headers

from mmgen.errors import BadRequest, NotFound
from mmgen.serve.auth import is_api
from mmgen.serve.request_tracker import RequestTracker, TrackedRequest
from mmgen.stores.redaction import without_keys

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
UNTOLD = ("/healthz", "/readyz", "/metrics")
"""Probes, which say nothing of anybody."""
MOST_BODY = 2**16
"""Bytes of a body that are kept where prompts are."""
MOST_PATH = 500


class AuditLog:
    """Lines are written by a thread, so that no request waits for the disk. Thread-safe."""

    def __init__(self, path: Path, size: int, files: int) -> None:
        """Of `size` bytes, then PATH.1 to PATH.`files`, the oldest last. Raises BadRequest where it cannot be written."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = _PrivateFile(path, maxBytes=size, backupCount=files, encoding="utf-8")
        except OSError as why:
            raise BadRequest(f"audit log {path} cannot be written ({why.strerror}); give another path") from None
        self._handler, self._lines = handler, queue.SimpleQueue[Any]()
        self._writer = logging.handlers.QueueListener(self._lines, handler)
        self._writer.start()

    def write(self, line: Mapping[str, Any]) -> None:
        text = orjson.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}).decode()
        self._lines.put(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        """After all lines that were told."""
        self._writer.stop()
        with suppress(OSError):  # a full disk, which was told
            self._handler.close()


class _PrivateFile(logging.handlers.RotatingFileHandler):
    _failed = _told = False

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)  # of one that was there
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        if self._failed and not self._told:
            log.error("the audit log cannot be written: lines are missing from %s", self.baseFilename)
        self._told = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        self._failed = True


class Audit:
    """Tells of every call of the API, and of what the page asks for; refused ones, too."""

    def __init__(self, app: ASGIApp, log: AuditLog, tracker: RequestTracker, prompts: bool) -> None:
        self.app, self.log, self.tracker, self.prompts = app, log, tracker, prompts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTOLD or not _told_of(scope):
            await self.app(scope, receive, send)
            return
        call = _Call(scope, receive, send, self.prompts)
        began = time.perf_counter()
        try:
            await self.app(scope, call.receive, call.send)
        finally:
            state = scope.get("state", {})
            entry = self._entry(state.get("request_id"))
            self.log.write({**call.line(), **worked(entry, call.status), "seconds": round(time.perf_counter() - began, 3)})

    def _entry(self, id: str | None) -> TrackedRequest | None:
        try:
            return None if id is None else self.tracker.get(id)
        except NotFound:
            return None


class _Call:
    """What is seen of one call as it goes by."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, prompts: bool) -> None:
        self.scope, self.status = scope, 0
        scope.setdefault("state", {})  # one for all who come after, which may say who calls
        self._receive, self._send = receive, send
        self._body: bytearray | None = bytearray() if prompts else None

    async def receive(self) -> Message:
        message = await self._receive()
        if self._body is not None and message["type"] == "http.request":
            self._body += message.get("body", b"")[: MOST_BODY - len(self._body)]
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    def line(self) -> dict[str, Any]:
        scope, state = self.scope, self.scope["state"]
        caller, route = state.get("caller"), scope.get("route")
        line = {
            "user": None if caller is None else caller.user,
            "client": (scope.get("client") or [None])[0],
            "method": scope["method"],
            "path": _sayable(scope["path"]),
            "route": getattr(route, "path", None),
            "models": list(state.get("models", ())),
            "status": self.status or None,
        }
        kind = Headers(scope=scope).get("content-type", "")
        if self._body and kind.startswith(("application/json", "text/")):
            line["body"] = without_keys(self._body.decode("utf-8", "replace"))
        return line


def worked(entry: TrackedRequest | None, status: int) -> dict[str, Any]:
    """What became of a call, and what it took of the device by then."""
    return {
        "request": None if entry is None else entry.request.id,
        "outcome": _outcome(entry, status),
        "device_seconds": 0.0 if entry is None else round(entry.request.device_ms / 1000, 6),
    }


def _outcome(entry: TrackedRequest | None, status: int) -> str:
    """done, refused (by an error of the caller's), failed (by one of the server's) or cancelled."""
    if status >= 400:
        return "cancelled" if status == 499 else "failed" if status >= 500 else "refused"
    if status == 0 or (entry is not None and entry.request.cancelled):  # it left before the answer
        return "cancelled"
    return "done" if entry is None or entry.state == "running" else entry.state


def _told_of(scope: Scope) -> bool:
    path: str = scope["path"]
    return is_api(path) or path.startswith("/admin/") or scope["method"] not in ("GET", "HEAD")


def _sayable(text: str) -> str:
    return without_keys(text)[:MOST_PATH].encode("utf-8", "replace").decode()
