"""A batch's file: one request a line, each with an id of the client's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mmgen.errors import BadRequest, MmgenError
from mmgen.serve.wire import bodies
from mmgen.serve.wire.json_scan import JsonScan

MOST_LINES = 50_000
MOST_VALUES = 2_000_000
"""Items of lists and objects in a file: each takes 8 to 100 bytes while it is read."""
LONGEST_ID = 200


def read(data: bytes, endpoint: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Custom ids and bodies. Raises BadRequest with the line that is wrong."""
    found: dict[str, Mapping[str, Any]] = {}
    values = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            scan = JsonScan(bodies.NUMBERS.get(endpoint, bodies.MOST_VALUES))
            scan.feed(line)
            if (values := values + scan.values) > MOST_VALUES:
                raise BadRequest(f"the file up to here holds more than {MOST_VALUES:,} values; split it")
            id, body = _request(line, endpoint)
            if id in found:
                raise BadRequest(f"custom_id {id!r} is another line's too; each needs its own")
        except MmgenError as why:
            raise BadRequest(f"line {number} of the file: {why}") from None
        found[id] = body
        if len(found) > MOST_LINES:
            raise BadRequest(f"the file has more than {MOST_LINES:,} lines; split it")
    if not found:
        raise BadRequest("the file has no lines; give one request a line, as JSON")
    return list(found.items())


def _request(line: bytes, endpoint: str) -> tuple[str, Mapping[str, Any]]:
    bodies.check(line)
    said = orjson.loads(line)
    if not isinstance(said, dict):
        raise BadRequest("it is no object")
    id, body = said.get("custom_id"), said.get("body")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID:
        raise BadRequest(f"custom_id is missing; give a text of at most {LONGEST_ID} characters")
    asked = f"{said.get('method')} {said.get('url')}"
    if asked != f"POST {endpoint}":
        raise BadRequest(f"method and url are {asked[:80]!r}; they should be POST {endpoint}")
    if not isinstance(body, dict):
        raise BadRequest("body is missing; give the request's")
    return id, body
