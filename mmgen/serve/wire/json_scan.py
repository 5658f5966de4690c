"""Counts the values of a JSON text and how deep they nest while its bytes come, before anything parses it.

A parser makes an object of 50 to 500 bytes of each value, and validation takes microseconds for each, with the interpreter's
lock held: two megabytes of `1,1,1,...` are a million values. Here they are counted in C at 100 MB/s or more, and no longer
than to the limit.
"""

from __future__ import annotations

import re

from mmgen.errors import BadRequest, TooLarge

MOST_VALUES = 50_000
MOST_DEPTH = 100
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_INSIDE = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class JsonScan:
    """The state between two pieces of one text. It need not be valid: whoever parses it tells that."""

    def __init__(self, most_values: int = MOST_VALUES, most_depth: int = MOST_DEPTH) -> None:
        self.most_values, self.most_depth = most_values, most_depth
        self.values = self.depth = 0
        self._in_string, self._escape = False, b""

    def feed(self, piece: bytes) -> None:
        """Raises TooLarge for more values than `most_values`, BadRequest where they nest deeper than `most_depth`."""
        outside = self._outside(self._escape + piece)
        self.values += sum(map(outside.count, (b",", b"[", b"{")))  # every value follows one of them
        if self.values > self.most_values:
            raise TooLarge(
                f"the body holds more than {self.most_values:,} values (items of lists and objects); send less at once"
            )
        for bracket in outside.translate(None, _BUT_BRACKETS):
            self.depth += 1 if bracket in b"[{" else -1
            if self.depth > self.most_depth:
                raise BadRequest(f"the body's lists and objects nest deeper than {self.most_depth} levels; send it flatter")

    def _outside(self, piece: bytes) -> bytes:
        """What of it stands in no string. An escape that is cut in two is kept for the next piece."""
        self._escape = b""
        if self._in_string:
            if b'"' not in piece and b"\\" not in piece:  # an image's base64, mostly
                return b""
            end = self._end(piece)
            if end is None:
                return b""
            piece = piece[end:]
        outside = _STRING.sub(b"", piece)
        opening = outside.find(b'"')
        if opening >= 0:  # a string that goes on in the next piece
            self._in_string = True
            self._end(outside[opening + 1 :])
            outside = outside[:opening]
        return outside

    def _end(self, piece: bytes) -> int | None:
        """Where the string ends within which the piece begins; None: not in it."""
        found = _INSIDE.match(piece)
        assert found is not None  # it matches nothing, too
        if found.end() == len(piece):
            return None
        if piece[found.end()] == ord('"'):
            self._in_string = False
            return found.end() + 1
        self._escape = piece[found.end() :]
        return None
