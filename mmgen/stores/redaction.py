"""Redacts a request before it enters the history: secrets are removed, uploads are reduced to their hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmgen.stores.keys import KEY

SECRETS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "api-key", "x-api-key", "password", "secret"}
)
"""Fields that are left out, in any case, with "-" or "_"."""
DEEPEST = 50
DATA = re.compile(r"data:[^,]{0,200};base64,")
ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{1024,}")
"""A text of this form holds no words: bytes in Base64."""


def kept(value: Any, depth: int = 0) -> Any:
    """The value as JSON that may be stored."""
    if depth > DEEPEST:
        return "\u2026"
    if isinstance(value, Mapping):
        return {_text(str(name)): kept(part, depth + 1) for name, part in value.items() if not _secret(str(name))}
    if isinstance(value, list | tuple):
        return [kept(part, depth + 1) for part in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return digest(bytes(value))
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None if isinstance(value, float) else _text(str(value))


def words(value: Any) -> Iterator[str]:
    """All texts in what `kept` gave, for search."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from words(part)


def without_keys(text: str) -> str:
    """With stars in place of API keys."""
    return KEY.sub("mm-***", text)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()} ({len(data):,} bytes)"


def _secret(name: str) -> bool:
    return name.lower().replace("_", "-") in SECRETS


def _text(text: str) -> str:
    """Bytes become their hash; an API key anywhere in a text becomes stars; half surrogates become "?"."""
    start = DATA.match(text)
    if start or ENCODED.fullmatch(text):
        encoded = text[start.end() :] if start else text
        try:
            return digest(base64.b64decode(encoded))
        except (binascii.Error, ValueError):
            return digest(encoded.encode("utf-8", "replace"))
    return without_keys(text).encode("utf-8", "replace").decode()
