"""Messages between a process and its extraction worker: a JSON header and bytes, both with their lengths in front."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from math import inf
from typing import IO, Any

LENGTHS = struct.Struct("<QQ")


class BadFrame(Exception):
    """A message longer than the reader allows, or one that is cut off."""


def send(file: IO[bytes], header: Mapping[str, Any], body: bytes = b"") -> None:
    head = json.dumps(header).encode()
    file.write(LENGTHS.pack(len(head), len(body)) + head)
    file.write(body)
    file.flush()


def receive(file: IO[bytes], most: Callable[[], float] = lambda: inf) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None at the end of the stream. BadFrame for half a one.

    `most`: how long it may be, in bytes, asked when one comes; BadFrame if it is longer.
    """
    lengths = file.read(LENGTHS.size)
    if not lengths:
        return None
    if len(lengths) < LENGTHS.size:
        raise BadFrame("the stream ends within a message")
    head, body = LENGTHS.unpack(lengths)
    if head + body > most():
        raise BadFrame(f"a message of {head + body} bytes, the limit is {most()}")
    data = file.read(head + body)
    if len(data) < head + body:
        raise BadFrame("the stream ends within a message")
    return json.loads(data[:head]), data[head:]
