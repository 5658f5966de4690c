"""Streams as other people's parsers read them, cut wherever the network cuts them; and streams that are broken."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.errors import MmgenError
from mmgen.pipelines.language.text_pipeline import Delta
from mmgen.serve.command_client import ServedPipeline
from mmgen.serve.dialects.json_lines import STREAM
from mmgen.serve.pipeline_calls import OPENAI, ServerEvent, server_sent
from mmgen.serve.port_file import PortFile
from mmgen.serve.wire.json_scan import JsonScan
from mmgen.serve.wire.one_line import one_line

QUICK = settings(max_examples=30, deadline=None, database=None, derandomize=True)
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXTS = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from(LINE_ENDS + '"\\:{}[],'), max_size=20)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**53), 2**53) | st.booleans() | st.none(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), max_size=5)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(data), *(place for place in places if place < len(data))})
    for begin, end in pairwise(places):
        yield data[begin:end]


@QUICK
@given(value=VALUES)
def test_one_line_to_every_reader(value: Any) -> None:
    text = one_line(value)
    assert json.loads(text) == value
    assert len(text.splitlines()) == len(text.decode().splitlines()) == 1


@QUICK
@given(messages=MESSAGES, places=CUTS)
def test_server_sent_events_by_openais_parser(messages: list[dict[str, Any]], places: list[int]) -> None:
    from openai._streaming import SSEDecoder

    sent = b"".join(map(OPENAI.event, messages)) + OPENAI.end
    found = [event.data for event in SSEDecoder().iter_bytes(cut(sent, places))]
    assert found.pop() == "[DONE]" and [json.loads(text) for text in found] == messages


@QUICK
@given(messages=MESSAGES, places=CUTS)
def test_named_events_by_anthropics_parser(messages: list[dict[str, Any]], places: list[int]) -> None:
    from anthropic._streaming import SSEDecoder

    sent = b"".join(server_sent(ServerEvent("content_block_delta", one)) for one in messages)
    found = list(SSEDecoder().iter_bytes(cut(sent, places)))
    assert [json.loads(one.data) for one in found] == messages and {one.event for one in found} <= {"content_block_delta"}


@QUICK
@given(messages=MESSAGES, places=CUTS)
def test_lines_by_httpx(messages: list[dict[str, Any]], places: list[int]) -> None:
    """As Ollama's client reads them: it splits at every character that ends a line in Unicode."""
    sent = b"".join(map(STREAM.event, messages))
    answer = httpx.Response(200, content=cut(sent, places), headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert [json.loads(line) for line in answer.iter_lines()] == messages


@QUICK
@given(value=VALUES, places=CUTS)
def test_counting_json_in_pieces(value: Any, places: list[int]) -> None:
    text = json.dumps(value).encode()
    whole, pieces = JsonScan(), JsonScan()
    whole.feed(text)
    for piece in cut(text, places):
        pieces.feed(piece)
    assert (pieces.values, pieces.depth) == (whole.values, 0)


GOOD = b'data: {"kind": "text", "value": "{\\"index\\": 0, \\"text\\": \\"A\\"}"}\n\n'
WRONG = (
    b"{}", b"[1]", b'{"kind": "text"}', b"[" * 9999, b'{"error": {"message": "why"}}', b'{"error": 1}',
    b'{"kind": "none", "value": "1"}',
    b'{"kind": "text", "value": "{\\"no\\": 1}"}', b'{"kind": "text", "value": "\\ud800"}', b"[DONE]",
)  # fmt: skip
BROKEN = st.lists(
    st.just(GOOD) | st.sampled_from([b"data: " + one + b"\n" for one in WRONG]) | st.binary(max_size=40), max_size=6
)


@QUICK
@given(lines=BROKEN)
def test_a_broken_stream_is_an_error_in_a_line(lines: list[bytes]) -> None:
    server = PortFile(1, "", "127.0.0.1", 1, "", "", "", "", "")
    served = ServedPipeline(server, "text", {"text": Delta, "done": Delta}, {}, lambda: None)
    answer: Any = b"".join(lines).splitlines(keepends=True)
    try:
        events = list(served._events(answer, {}))
    except MmgenError as why:
        assert "\n" not in str(why)
    else:
        assert all(event.value == Delta(0, "A") for event in events) and b"[DONE]" in b"".join(lines)


def test_arguments_that_no_answer_can_hold() -> None:
    from mmgen.serve.dialects.anthropic_messages import _object
    from mmgen.serve.dialects.ollama_chat import _call

    for text in (r'{"a": "\ud800"}', '{"a": NaN}', "[" * 5000, '{"a": 1'):
        made = _object(text), _call({"name": "f", "arguments": text})["function"]["arguments"]
        assert made == ({"arguments": text},) * 2
        one_line(made)
    assert _object("") == {} and _object('{"a": 1}') == {"a": 1}
    big = _object('{"a": 123456789012345678901234567890}')
    assert json.loads(one_line(big))["a"] == pytest.approx(1.2345678901234568e29)


def test_calls_with_half_of_a_surrogate_pair() -> None:
    from mmgen.serve.tools import Tool, Tools

    tools = Tools(
        [Tool.model_validate({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}})], "auto"
    )
    _, (call,) = tools.read('{"name": "f", "arguments": {"a": "\\ud800"}}')
    assert json.loads(call["function"]["arguments"]) == {"a": "?"}
    one_line(call)
