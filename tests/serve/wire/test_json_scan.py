"""JSON as it comes in pieces, counted before anything parses it."""

import json
import time

import pytest

from mmgen.errors import BadRequest, TooLarge
from mmgen.serve.wire.json_scan import MOST_VALUES, JsonScan

TEXT = json.dumps({"a": [1, [2, {"b": 'x,[{"\\'}], "\\\\"], "c": "\u00e4,\\u00e4", "d,": {}}).encode()


def scanned(text: bytes, size: int) -> JsonScan:
    scan = JsonScan()
    for at in range(0, len(text), size):
        scan.feed(text[at : at + size])
    return scan


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_strings_do_not_count_however_the_text_is_cut(size: int) -> None:
    scan = scanned(TEXT, size)
    assert (scan.values, scan.depth) == (10, 0)  # 5 openings, 5 commas


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"messages":[' + b"1," * 10**6, TooLarge),
        (b"[]," * 10**5, TooLarge),
        (b'{"a":' * 101, BadRequest),
        (b"[" * 10**4, BadRequest),
        (b'["' + b'","' * 10**5, TooLarge),
    ],
)
def test_bombs_cost_no_more_than_the_limit(text: bytes, error: type[Exception]) -> None:
    began = time.process_time()
    with pytest.raises(error):
        scanned(text, 2**16)
    assert time.process_time() - began < 0.2  # 11 s of validation


def test_what_fits() -> None:
    scan = scanned(b"[" + b"1," * (MOST_VALUES - 1) + b"1]", 2**16)
    assert scan.values == MOST_VALUES
    deep = scanned(b"[" * 100 + b"]" * 100, 2**16)
    assert deep.depth == 0
    assert scanned(b'{"image":"' + b"A" * 10**6 + b'"}', 2**16).values == 1
