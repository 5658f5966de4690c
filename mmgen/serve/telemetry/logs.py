"""The server's log on stderr, as text or as JSON lines, each with the id of the request that it belongs to."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from mmgen.stores.redaction import without_keys

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

access = logging.getLogger("mmgen.serve.access")
PROBES = ("/healthz", "/readyz")
"""Asked every few seconds: no lines of the access log."""
request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that this thread or task works for."""
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""Of its OpenTelemetry trace, hexadecimal."""


def configure(form: str, level: str) -> None:
    """`form`: text or json. mmgen's own loggers tell from `level` on, others' from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_identify)
    logging.basicConfig(handlers=[handler], level="WARNING", force=True)
    logging.getLogger("mmgen").setLevel(level.upper())


def _identify(record: logging.LogRecord) -> bool:
    record.request = getattr(record, "request", "") or request_id.get()
    record.trace = trace_id.get()
    return True


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        about = f" [{id}]" if (id := getattr(record, "request", "")) else ""
        text = f"{_moment(record)} {record.levelname} {record.name}{about}: {record.getMessage()}"
        return without_keys(f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text)


class JsonFormatter(logging.Formatter):
    """Whatever a message holds, it is one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for field in ("request", "trace"):
            if value := getattr(record, field, ""):
                line[field] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps({key: _sayable(value) for key, value in line.items()}).decode()


def _sayable(text: str) -> str:
    """Without API keys, and without halves of surrogate pairs, which JSON cannot say."""
    return without_keys(text.encode("utf-8", "replace").decode())


class AccessLog:
    """A line at level info for each call: method, path, status, seconds. Queries and bodies are not in it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or not access.isEnabledFor(logging.INFO):
            await self.app(scope, receive, send)
            return
        status, began = 0, time.perf_counter()

        async def look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        state = scope.setdefault("state", {})
        try:
            await self.app(scope, receive, look)
        finally:
            took, said = time.perf_counter() - began, {"request": state.get("request_id", "")}
            path = (
                without_keys(scope["path"])[:500].encode("unicode_escape").decode()
            )  # nobody writes lines of their own into the log
            access.info("%s %s %s %.3f s", scope["method"], path, status or "left", took, extra=said)
