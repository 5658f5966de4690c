"""What the worker answers to a task."""

from typing import Any

import pytest

from mmgen.ingest.extraction import child
from mmgen.ingest.extraction.limits import GROWTH, ROOM
from mmgen.ingest.records import PARTIAL


def asked(name: str, data: bytes = b"text", **options: Any) -> tuple[dict[str, Any], bytes]:
    return child.done({"target": f"hostile_extractors:{name}", "options": options, "path": "a.txt", "memory": 2**34}, data)


def test_a_text_with_its_pages_and_metadata() -> None:
    header, body = asked("whole", ending="!")
    assert body == b"text!" and header["pages"] == (0,) and header["metadata"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("refuses", "is upside down; turn it"),
        ("fails", "is damaged, or of a kind that its reader does not know (KeyError 'Root'); save it anew"),
    ],
)
def test_why_there_is_none(name: str, words: str) -> None:
    assert asked(name) == ({"unreadable": words}, b"")


def test_the_output_is_bounded() -> None:
    header, body = asked("long")
    assert len(body) <= 4 * GROWTH + ROOM and "what follows character" in header["metadata"][PARTIAL]


def test_what_utf8_cannot_hold_keeps_its_place() -> None:
    assert asked("whole", "a\ud800b".encode("utf-8", "surrogatepass"))[1] == b"a?b"
