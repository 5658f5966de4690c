"""JSON schemas of tools as guided decoding takes them: references resolved, texts and lists bounded, nothing unnamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmgen.errors import BadRequest

MOST = 20_000  # characters of a schema
DEEPEST = 8
LONGEST_TEXT, MOST_ITEMS = 400, 8
KEPT = ("type", "enum", "const", "properties", "required", "items", "anyOf", "oneOf", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "pattern", "format", "maxLength", "minLength", "minItems", "maxItems")  # fmt: skip
"""Keywords that mean the same to the decoder; descriptions, examples and the like are for people."""


def bounded(schema: Any) -> dict[str, Any]:
    """The schema of an object, so that even a weak model ends. Raises BadRequest for one that is too large or no object's."""
    if not isinstance(schema, Mapping) or len(json.dumps(schema, default=str)) > MOST:
        raise BadRequest(
            f"a tool's parameters are no JSON schema of an object with at most {MOST:,} characters; leave the tool out"
        )
    found = _bounded(schema, schema.get("$defs") or schema.get("definitions") or {}, 0)
    if found.get("type", "object") != "object":
        raise BadRequest(f"a tool's parameters are of type {found['type']!r}; they have to be an object")
    return {**found, "type": "object", "properties": found.get("properties", {}), "additionalProperties": False}


def _bounded(schema: Any, definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > DEEPEST or not isinstance(schema, Mapping):
        return {"type": "string", "maxLength": LONGEST_TEXT} if depth > DEEPEST else {}
    if isinstance(reference := schema.get("$ref"), str):
        return _bounded(definitions.get(reference.rpartition("/")[2]), definitions, depth + 1)
    out = {key: schema[key] for key in KEPT if key in schema}
    for key in ("anyOf", "oneOf"):
        if key in out:
            out["anyOf"] = [_bounded(one, definitions, depth + 1) for one in list(out.pop(key))[:MOST_ITEMS]]
    if isinstance(out.get("properties"), Mapping):
        out["properties"] = {name: _bounded(one, definitions, depth + 1) for name, one in list(out["properties"].items())[:50]}
        out["required"] = [name for name in out.get("required", ()) if name in out["properties"]]
        out["additionalProperties"] = False
    if "items" in out:
        out["items"] = _bounded(out["items"], definitions, depth + 1)
    kind = out.get("type")
    if kind == "array" or "items" in out:
        out["maxItems"] = min(MOST_ITEMS, out.get("maxItems", MOST_ITEMS))
    if kind == "string" and not out.keys() & {"enum", "const", "pattern", "format"}:
        out["maxLength"] = min(LONGEST_TEXT, out.get("maxLength", LONGEST_TEXT))
    return out
