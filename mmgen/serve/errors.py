"""Exception handlers: errors as the OpenAI API formats them, with their HTTP status."""

from __future__ import annotations

import errno
import logging
import math
import sqlite3
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mmgen.errors import (
    Busy,
    Cancelled,
    Clash,
    Closed,
    DeadlineExceeded,
    Forbidden,
    JobFailed,
    MmgenError,
    NoSpace,
    NotFound,
    Stuck,
    TooLarge,
    TooLong,
    Unauthorized,
    Unreachable,
)

log = logging.getLogger(__name__)


class RetryLater(Busy):
    """Busy, with a Retry-After."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        """`seconds`: until a retry can succeed; None: unknown."""
        super().__init__(message)
        self.retry_after = seconds


class QuotaExceeded(RetryLater):
    """The user's device-seconds of the day are spent."""


class UnknownModel(NotFound):
    """A model that this server does not serve."""

    param = "model"


CODES: dict[type[MmgenError], str] = {
    UnknownModel: "model_not_found",
    NotFound: "not_found",
    Unauthorized: "invalid_api_key",
    Forbidden: "insufficient_permissions",
    Clash: "conflict",
    QuotaExceeded: "insufficient_quota",
    Busy: "rate_limit_exceeded",
    TooLong: "context_length_exceeded",
    TooLarge: "request_too_large",
    Cancelled: "cancelled",
    DeadlineExceeded: "deadline_exceeded",
    Closed: "unavailable",
    Stuck: "unavailable",
    Unreachable: "unavailable",
    NoSpace: "insufficient_storage",
    JobFailed: "server_error",
}
"""By class, along the method resolution order."""
LONGEST = 4000
"""Characters of a message."""
FAILED = "the server failed on this request by a fault of its own; its log says more"


FULL = (errno.ENOSPC, errno.EDQUOT)


def reportable(error: BaseException) -> BaseException:
    """The error as clients are told it: a full disk is no fault of the program's."""
    full = isinstance(error, OSError) and error.errno in FULL
    if full or (isinstance(error, sqlite3.OperationalError) and "disk is full" in str(error)):
        return NoSpace("the server's disk is full; nothing was kept of this request, free some space and send it again")
    return error


def status(error: BaseException) -> int:
    if isinstance(error, TooLong):
        return 400  # as the OpenAI API; 413 is for requests beyond the device's memory
    return error.status if isinstance(error, MmgenError) else 500


def body(message: str, status: int, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    if len(message) > LONGEST:  # it may repeat what was sent
        message = f"{message[:LONGEST]} ..."
    message = message.encode("utf-8", "replace").decode()  # no half of a surrogate pair, which no answer can hold
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(error: BaseException) -> dict[str, Any]:
    """The JSON body of an error; internal errors disclose no details."""
    error = reportable(error)
    if not isinstance(error, MmgenError) or isinstance(error, JobFailed):
        log.error("a request failed", exc_info=error)
        return body(FAILED, 500, "server_error")
    code = next((CODES[one] for one in type(error).__mro__ if one in CODES), None)
    return body(str(error), status(error), code, getattr(error, "param", None))


def response(error: BaseException, otherwise: float | None = None) -> JSONResponse:
    """What a client is sent. `otherwise`: seconds after which one may come back, where a Busy does not say so itself."""
    headers, error = {}, reportable(error)
    if isinstance(error, Busy):
        seconds = getattr(error, "retry_after", None)
        seconds = otherwise if seconds is None else seconds
        headers["Retry-After"] = str(max(1, math.ceil(seconds or 0)))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error), status(error), headers)


def install(app: FastAPI) -> None:
    """Every error of a route becomes an OpenAI error."""

    async def ours(http: HttpRequest, error: Exception) -> JSONResponse:
        return response(error, http.app.state.rt.engine.soonest() if isinstance(error, Busy) else None)

    async def disk(http: HttpRequest, error: Exception) -> JSONResponse:
        if reportable(error) is error:
            raise error
        return response(error)

    app.add_exception_handler(MmgenError, ours)
    app.add_exception_handler(OSError, disk)
    app.add_exception_handler(sqlite3.OperationalError, disk)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)


async def _invalid(http: HttpRequest, error: Exception) -> JSONResponse:
    """The first validation error and its location."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:])
    param = path.removeprefix(".") or None
    where = f"{param}: " if param else ""
    message = f"{where}{first['msg'].removeprefix('Value error, ')}"
    return JSONResponse(body(" ".join(message.split()), 400, None, param), 400)


async def _http(http: HttpRequest, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404:
        message = f"there is no {http.method} {http.url.path}"
    return JSONResponse(body(message, error.status_code, None), error.status_code, error.headers)


async def _fault(http: HttpRequest, error: Exception) -> JSONResponse:
    return JSONResponse(body(FAILED, 500, "server_error"), 500)  # starlette raises it again, and the server logs it
