"""Extractors that misbehave, called by name in a worker process."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction import progress

Extracted = tuple[str, tuple[int, ...], dict[str, Any]]


def whole(path: Path, data: bytes, ending: str = "") -> Extracted:
    print("what a library prints disturbs nothing")
    return data.decode("utf-8", "surrogatepass") + ending, (0,), {"process": os.getpid()}


def long(path: Path, data: bytes) -> Extracted:
    line = "a line of text\n"
    return line * (2**21 // len(line)), (0, 2**21), {}


def refuses(path: Path, data: bytes) -> Extracted:
    raise Unreadable("is upside down; turn it")


def fails(path: Path, data: bytes) -> Extracted:
    raise KeyError("Root")


def hangs(path: Path, data: bytes) -> Extracted:
    while True:
        time.sleep(1)


def tells(path: Path, data: bytes) -> Extracted:
    for page in range(6):
        time.sleep(0.1)
        progress.tell(page + 1, 6)
    return "all pages", (), {}


def eats(path: Path, data: bytes) -> Extracted:
    held = []
    while True:
        held.append(bytearray(2**24))


def dies(path: Path, data: bytes) -> Extracted:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def not_json(path: Path, data: bytes) -> Extracted:
    return "text", (), {"when": object()}
