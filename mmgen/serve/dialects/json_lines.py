"""Bodies of any type read as JSON, as curl sends them; streams of JSON, one a line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from mmgen.serve.pipeline_calls import StreamFormat
from mmgen.serve.wire import bodies
from mmgen.serve.wire.one_line import one_line

B = TypeVar("B", bound=BaseModel)


def reader(kind: type[B]) -> Callable[[HttpRequest], Awaitable[B]]:
    """A dependency: the body as `kind`, whatever its Content-Type. Raises BadRequest and RequestValidationError."""

    async def read(request: HttpRequest) -> B:
        bodies.check(body := await request.body() or b"{}")
        try:
            return kind.model_validate_json(body)
        except ValidationError as why:
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in why.errors()]) from None

    return read


def described(kind: type[BaseModel]) -> dict[str, Any]:
    """For the schema of a route that takes `reader(kind)`."""
    return {"requestBody": {"content": {"application/json": {"schema": kind.model_json_schema()}}}}


def _line(message: Any) -> bytes:
    return one_line(message) + b"\n"


STREAM = StreamFormat(
    _line, lambda body: _line({"error": body["error"]["message"]}), end=b"", media_type="application/x-ndjson"
)  # fmt: skip
