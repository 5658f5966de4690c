"""Whatever comes in whatever pieces: parsers of streams say the same, raise nothing but our own errors, and hold little."""

import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from starlette.testclient import TestClient

from mmgen.cluster import replay
from mmgen.cluster.replay import StreamReplay
from mmgen.errors import BadRequest, Closed, JobFailed, MmgenError
from mmgen.models.lm.detokenizer import PENDING, Detokenizer
from mmgen.models.lm.guided_decoding import GrammarCompiler
from mmgen.pipelines.language import reasoning, tool_calls
from mmgen.pipelines.language.reasoning import ReasoningParser
from mmgen.pipelines.language.text_pipeline import Completion, Delta
from mmgen.serve import command_client, pipeline_calls
from mmgen.serve.dialects import json_lines
from mmgen.serve.engines.answer_text import AnswerText
from mmgen.serve.pipeline_calls import ServerEvent
from mmgen.serve.port_file import PortFile
from mmgen.serve.tools import Function, Tool, ToolCallParser, Tools
from mmgen.serve.wire.json_scan import JsonScan

S = TypeVar("S", str, bytes)
NASTY = (
    "a", " ", "\n", "é", "😀", "\u2028", "\x85", "\r", "\\ud83d", "\\ud800", "{", "}", "[", '"', "\\", "NaN", "1e999", "data: ",
    "\0",
)  # fmt: skip
CALLS = (
    *tool_calls.OPENINGS, *tool_calls.CONTROL, '{"name": "f", "arguments": {"x": ', "}}", '{"x": 1}', "f", "g", "[ARGS]",
    "<parameter=x>", "</parameter>", "</function>", "f>", "to=functions.f", "<|message|>", "```json", "functions.f",
    "{" * 60, '[{"a":' * 300, "12 apples",
)  # fmt: skip


@pytest.fixture(params=[25, pytest.param(20_000, marks=pytest.mark.slow)])
def lots(request: pytest.FixtureRequest) -> list[random.Random]:
    return [random.Random(seed) for seed in range(request.param)]


def cut(whole: S, lot: random.Random) -> list[S]:
    """At random places; of bytes also within a character, and empty pieces."""
    places = sorted(lot.randrange(len(whole) + 1) for _ in range(lot.choice((1, 5, len(whole)))))
    return [whole[begin:end] for begin, end in zip([0, *places], [*places, len(whole)], strict=True)]


def mixed(lot: random.Random, *parts: Sequence[str]) -> str:
    return "".join(lot.choice(lot.choice(parts)) for _ in range(lot.randrange(25)))


def parsed(tools: Tools, pieces: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Content and calls, which an answer can hold."""
    parser = ToolCallParser(tools)
    told = [parser.push(piece) for piece in pieces]
    rest, calls = parser.end()
    named = [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
    for _, arguments in named:
        assert isinstance(orjson.loads(arguments), dict)
    orjson.dumps([*told, rest])
    return "".join([*told, rest]), named


def test_calls_in_every_dialect(lots: list[random.Random]) -> None:
    tools = Tools([Tool(type="function", function=Function(name="f"))], "auto")
    forms = (CALLS, NASTY, ("<function=f>", "[TOOL_CALLS]f", tool_calls.OPEN + '{"name": "f", "arguments": {"x": "\\ud800"}}'))
    for lot in lots:
        text = mixed(lot, *forms)
        assert parsed(tools, cut(text, lot)) == parsed(tools, [text]), text


@pytest.mark.parametrize("value", ["12 apples", "{} {}", "NaN", "1e999", "[" * 100_000, '{"a": 1} '])
def test_a_value_that_only_begins_as_json_is_a_text(value: str) -> None:
    text = f"<tool_call><function=f><parameter=x>{value}</parameter></function></tool_call>"
    ((_, found),) = tool_calls.found(text, ["f"])[1]
    assert found == {"x": {"a": 1} if "1}" in value else value}


def test_what_is_thought(lots: list[random.Random]) -> None:
    for lot in lots:
        marks = lot.choice((*reasoning.MARKERS, reasoning.HARMONY))
        channels = ("<|channel|>final<|message|>", "<|channel|>analysis<|message|>", " to=functions.f<|message|>{")
        text, prompt = mixed(lot, marks, NASTY, ("ab ", marks[0][:3]), channels), lot.choice(("", marks[0]))
        parser = ReasoningParser(marks, prompt)
        told = [*map(parser.push, cut(text, lot)), parser.flush()]
        whole = reasoning.split(text, marks, prompt)
        assert ("".join(one for one, _ in told), "".join(two for _, two in told)) == whole, (marks, text)


def test_characters_of_tokens(lots: list[random.Random]) -> None:
    """Of one byte each, for the most part no characters; a model that writes nonsense for ever is told as it writes."""
    asked: list[int] = []

    def decode(ids: Sequence[int]) -> str:
        asked.append(len(ids))
        return bytes(ids).decode("utf-8", "replace")

    for lot in lots:
        nonsense = bytes(lot.choice((0x80, 0xC3, 0xE2, 0xF0, 0x9F, 0xFF)) for _ in range(lot.randrange(60)))
        text = mixed(lot, NASTY).encode() + nonsense
        ids = b"".join(lot.sample(cut(text, lot), k=2)) if len(text) > 1 else text
        asked.clear()
        made = Detokenizer(decode)
        told = [made.push(one) for one in ids]
        assert max([*asked, 0]) <= 2 * PENDING + 8
        assert "".join([*told, made.flush()]) == bytes(ids).decode("utf-8", "replace"), ids


def test_json_is_counted(lots: list[random.Random]) -> None:
    def scanned(pieces: Sequence[bytes]) -> Any:
        scan = JsonScan(200, 40)
        try:
            for piece in pieces:
                scan.feed(piece)
        except MmgenError as why:
            return type(why)
        return scan.values, scan.depth

    for lot in lots:
        text = mixed(lot, NASTY, ('"a"', ",", "{}", "[[[", '\\"', "\\\\", '"' * 3)).encode()
        pieces = cut(text, lot)
        whole, parts = scanned([text]), scanned(pieces)
        assert whole == parts or (isinstance(whole, type) and isinstance(parts, type)), (text, pieces)


def events(lot: random.Random, made: Callable[[Any], bytes]) -> bytes:
    return b"".join(
        made({"choices": [{"index": lot.randrange(2), "delta": {"content": mixed(lot, NASTY)}}], "n": n}) for n in range(8)
    )


def garbage(lot: random.Random) -> str:
    whole = (
        'data: {"choices": [{"index": 0, "delta": {"content": "a\u2028b"}}]}\n\n', "data: [DONE]\n\n", '{"error": "hot"}',
        'data: {"choices": [1, null, {"delta": "x"}]}\r\n\r\n', "data: " + '{"a":' * 3000 + "\n\n", ": ping\n\n", "event: x\n",
        'data: {"choices": [{"index": "x", "message": []}]}\n\n', '{"error": {"message": 7}}', "\r\r",
    )  # fmt: skip
    return mixed(lot, whole, NASTY)


def test_answers_of_other_engines(lots: list[random.Random]) -> None:
    for lot in lots:
        text = garbage(lot).encode()
        said, whole = AnswerText(), AnswerText()
        for piece in cut(text, lot):
            said.add(piece)
        whole.add(text)
        assert said.texts() == whole.texts() and said.error() == whole.error(), text
    stream = AnswerText()
    stream.add('data: {"choices": [{"index": 0, "delta": {"content": "a\u2028b\x85c"}}]}\r\n\r\n'.encode())
    stream.add(b'data: {"choices": [3]}\r\n\r\n')
    assert stream.texts() == ["a\u2028b\x85c"]


def test_streams_that_replicas_play_again(lots: list[random.Random], monkeypatch: pytest.MonkeyPatch) -> None:
    """However often one dies and whatever ends its events: the client has the undisturbed stream, to the byte."""
    for lot in lots:
        lines = lot.random() < 0.3
        form = json_lines.STREAM.event if lines else pipeline_calls.server_sent
        text = events(lot, form) if lot.random() < 0.7 else garbage(lot).encode()
        text = text.replace(b"\n", b"\r\n") if not lines and lot.random() < 0.3 else text
        made, got = StreamReplay("application/x-ndjson" if lines else "text/event-stream"), b""
        for _ in range(lot.randrange(3)):
            got += b"".join(made.fresh(piece) for piece in cut(text[: lot.randrange(len(text) + 1)], lot))
            made.again()
        got += b"".join(made.fresh(piece) for piece in cut(text, lot))
        assert got + made.fresh(b"", last=True) == text
    crlf = StreamReplay("text/event-stream")
    assert crlf.fresh(b"data: 1\r\n\r\ndata: 2\r\n\r") == b"data: 1\r\n\r\n" and crlf.fresh(b"\n") == b"data: 2\r\n\r\n"
    monkeypatch.setattr(replay, "MOST_EVENT", 1000)
    with pytest.raises(JobFailed, match="ask for less"):
        crlf.fresh(b"x" * 1001)


def test_events_as_clients_read_them(lots: list[random.Random]) -> None:
    """Server-sent events and lines, by httpx, whose lines end as str.splitlines' do."""
    for lot in lots:
        told = [{"text": mixed(lot, NASTY), "n": n} for n in range(4)]
        for form, head in ((pipeline_calls.server_sent, "data: "), (json_lines.STREAM.event, "")):
            sent = b"".join(form(ServerEvent("x", one) if head and lot.random() < 0.5 else one) for one in told)
            lines = httpx.Response(200, content=iter(cut(sent, lot))).iter_lines()
            assert [json.loads(one.removeprefix(head)) for one in lines if one and one.startswith(head)] == told


class _Connection:
    """Answers with the bytes that it was given."""

    def __init__(self, sent: bytes) -> None:
        self.sent, self.sock = sent, self

    def connect(self) -> None: ...
    def close(self) -> None: ...
    def settimeout(self, seconds: float | None) -> None: ...
    def request(self, *said: Any) -> None: ...
    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.sent))  # type: ignore[arg-type]

    def getresponse(self) -> HTTPResponse:
        made = HTTPResponse(self)  # type: ignore[arg-type]
        made.begin()
        return made


def by_server(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(command_client, "to", lambda server: _Connection(sent))
    server, kinds = PortFile(1, *[""] * 2, 1, *[""] * 5), {"text": Delta, "completion": Completion}
    return command_client.ServedPipeline(server, "text", kinds, {}, lambda: None).remote(("a",), {})


def chunked(pieces: Sequence[bytes]) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces if one) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def test_commands_at_a_server(lots: list[random.Random], monkeypatch: pytest.MonkeyPatch) -> None:
    for lot in lots:
        deltas = [Delta(0, mixed(lot, NASTY)) for _ in range(3)]
        said = [{"kind": "text", "value": json.dumps({"index": 0, "text": one.text})} for one in deltas]
        text = b"".join(map(pipeline_calls.server_sent, said)) + b"data: [DONE]\n\n"
        sent = chunked(cut(text, lot))
        assert [event.value for event in by_server(sent, monkeypatch)] == deltas
        with pytest.raises((Closed, command_client.Unavailable)):
            list(by_server(sent[: lot.randrange(len(sent) - 24)], monkeypatch))
        with suppress(MmgenError):
            list(by_server(chunked(cut(garbage(lot).encode(), lot)), monkeypatch))
    for body in (b"no JSON", b"[]", b'{"error": 1}', b"[" * 10_000):
        with pytest.raises(Closed, match="cannot read"):
            list(by_server(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), monkeypatch))


def test_schemas_as_texts() -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000, "NaN", '"\\ud800"', ""):
        with pytest.raises(BadRequest, match=r"flatter|brackets|no object"):
            GrammarCompiler("{}", 8, {1}).json_schema(text)


def test_forms(client: TestClient, lots: list[random.Random]) -> None:
    """Multipart bodies that are none."""
    for number, lot in enumerate(lots[:400]):
        border = lot.choice(("b", "é", "x" * 300, ""))
        parts = (
            f"--{border}\r\n", 'Content-Disposition: form-data; name="file"; filename="\ud800"\r\n\r\n', "\r\n", "a: b\r\n",
            'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n', "Content-Type: text/plain; charset=x\r\n",
            f"--{border}--", "Content-Disposition",
        )  # fmt: skip
        body = mixed(lot, parts, parts, NASTY).encode("utf-8", "surrogatepass")
        head = {"Content-Type": f"multipart/form-data; boundary={border}".encode()}
        path = ("/v1/files", "/v1/images/edits", "/v1/images/variations", "/v1/stores/none/documents")[number % 4]
        answer = client.post(path, content=b"".join(cut(body, lot)), headers=head)
        assert 400 <= answer.status_code < 500, (path, body, answer.text)
