"""JSON that stays one line to every reader: some end lines at more characters than a newline (str.splitlines does)."""

from __future__ import annotations

from typing import Any

import orjson

SEPARATORS = {"\x85": rb"\u0085", "\u2028": rb"\u2028", "\u2029": rb"\u2029"}
"""Those that JSON may hold as they are -> their escapes. In JSON they stand in strings alone."""
_ENCODED = [(character.encode(), escape) for character, escape in SEPARATORS.items()]


def one_line(value: Any) -> bytes:
    text = orjson.dumps(value)
    for encoded, escape in _ENCODED:
        text = text.replace(encoded, escape)
    return text
