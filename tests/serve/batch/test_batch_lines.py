"""Lines of a batch's file."""

import json
from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.serve.batch import batch_lines

LINE: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}}


def test_requests() -> None:
    data = b"\n".join(json.dumps(LINE | {"custom_id": id}).encode() for id in "ab") + b"\n\n"
    assert batch_lines.read(data, "/v1/embeddings") == [("a", {"input": "x"}), ("b", {"input": "x"})]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "no lines"),
        (b"{", "line 1 of the file: the body is no JSON"),
        (b"[]", "line 1 of the file: it is no object"),
        (json.dumps(LINE | {"custom_id": 7}).encode(), "custom_id is missing"),
        (json.dumps(LINE | {"url": "/v1/images"}).encode(), "they should be POST /v1/embeddings"),
        (json.dumps(LINE | {"body": []}).encode(), "body is missing"),
        (json.dumps(LINE).encode() + b"\n" + json.dumps(LINE).encode(), "line 2 of the file: custom_id 'a' is another"),
        (b"[" * 1000, "nest deeper"),
        (rb'{"custom_id":"\ud800"}', "no JSON"),
    ],
)
def test_what_is_refused(line: bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        batch_lines.read(line, "/v1/embeddings")


def test_all_lines_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines, "MOST_VALUES", 99)
    lines = [json.dumps(LINE | {"custom_id": str(n), "body": {"input": [7] * 20}}).encode() for n in range(5)]
    with pytest.raises(BadRequest, match="line 4 of the file: the file up to here holds more than 99 values; split it"):
        batch_lines.read(b"\n".join(lines), "/v1/embeddings")
