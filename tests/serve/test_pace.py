"""Streams beside others: each is looked at more rarely, and says the same, from the first token to the end."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from mmgen.errors import BadRequest
from mmgen.runtime import Runtime
from mmgen.serve import pipeline_calls

HOUR = 3600.0
CHAT = {"model": "tiny", "max_tokens": 24, "logit_bias": {"1": -100}, "stream_options": {"include_usage": True}}


def body(number: int, **more: Any) -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": f"hi {number}"}], "seed": number, **more}


class Heard:
    """A stream: its pieces as they came off the socket, and the chunks in them."""

    def __init__(self, server: str, path: str, asked: dict[str, Any]) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        began = time.monotonic()
        with httpx.stream("POST", f"{server}/v1/{path}", json={**asked, "stream": True}, timeout=30) as response:
            self.pieces.extend((time.monotonic() - began, piece) for piece in response.iter_raw())
        self.seconds = time.monotonic() - began
        *events, end = b"".join(piece for _, piece in self.pieces).decode().strip().split("\n\n")
        assert end == "data: [DONE]"
        self.chunks = [json.loads(event.removeprefix("data: ")) for event in events]

    @property
    def choices(self) -> list[Any]:
        return [choice for chunk in self.chunks if "error" not in chunk for choice in chunk["choices"]]

    def text(self, index: int = 0) -> str:
        return "".join(one["delta"].get("content") or "" for one in self.choices if one["index"] == index)

    def logprobs(self, index: int = 0) -> list[Any]:
        return [token for one in self.choices if one["index"] == index for token in (one["logprobs"] or {}).get("content", ())]


def together(work: Callable[[int], Any], count: int) -> list[Any]:
    """What each of so many threads returns."""
    out: list[Any] = [None] * count

    def one(number: int) -> None:
        out[number] = work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`rarely(1.0)`: streams are looked at once in so many seconds, however few they are."""
    return lambda seconds: monkeypatch.setattr(pipeline_calls, "ALONE_S", seconds)


def test_the_more_streams_the_rarer_each() -> None:
    assert [pipeline_calls.pace(streams) for streams in (1, 2, 8, 16, 100)] == pytest.approx([0.01, 0.01, 0.024, 0.048, 0.1])


def test_beside_others_a_stream_says_the_same(server: str, slow: Any) -> None:
    asked = [body(number, logprobs=True, top_logprobs=2, n=1 + number % 2) for number in range(6)]
    whole = [httpx.post(f"{server}/v1/chat/completions", json=one, timeout=30).json() for one in asked]
    slow(0.01)
    heard = together(lambda number: Heard(server, "chat/completions", asked[number]), 6)
    for stream, alone in zip(heard, whole, strict=True):
        for choice in alone["choices"]:
            index = choice["index"]
            assert stream.text(index) == choice["message"]["content"]
            assert [one["token"] for one in stream.logprobs(index)] == [one["token"] for one in choice["logprobs"]["content"]]
            reasons = [one["finish_reason"] for one in stream.choices if one["index"] == index]
            assert reasons[-1] == choice["finish_reason"] and not any(reasons[:-1])
        told = stream.chunks[-1]["usage"]
        assert [told[key] for key in ("prompt_tokens", "completion_tokens")] == [
            alone["usage"][key] for key in ("prompt_tokens", "completion_tokens")
        ]
        written = [one for one in stream.choices if one["delta"].get("content")]
        assert all(len(one["logprobs"]["content"]) >= 1 for one in written)


def test_completions_beside_others_say_the_same(server: str, slow: Any) -> None:
    asked = [{"model": "tiny", "prompt": f"the sea {n}", "max_tokens": 16, "seed": n, "logprobs": 1} for n in range(4)]
    whole = [httpx.post(f"{server}/v1/completions", json=one, timeout=30).json()["choices"][0] for one in asked]
    slow(0.01)
    heard = together(lambda number: Heard(server, "completions", asked[number]), 4)
    for stream, alone in zip(heard, whole, strict=True):
        assert "".join(one["text"] for one in stream.choices) == alone["text"]
        for key in ("tokens", "text_offset"):
            assert [x for one in stream.choices for x in (one["logprobs"] or {}).get(key, ())] == alone["logprobs"][key]


def test_several_tokens_come_in_a_piece_each_in_a_chunk_of_its_own(server: str, slow: Any, rarely: Any) -> None:
    slow(0.02)
    often = Heard(server, "chat/completions", body(1))
    rarely(0.2)
    seldom = Heard(server, "chat/completions", body(1))
    assert [one["delta"] for one in seldom.choices] == [one["delta"] for one in often.choices]
    assert 2 * len(seldom.pieces) < len(often.pieces)


def test_neither_the_first_token_nor_the_end_waits(server: str, slow: Any, rarely: Any) -> None:
    slow(0.05)
    rarely(HOUR)
    stream = Heard(server, "chat/completions", body(2))
    at = next(at for at, piece in stream.pieces if b'"content":"' in piece.replace(b'"content":""', b""))
    assert at < stream.seconds / 2, "24 tokens of 50 ms each, of which the first is told when it is there"
    assert stream.seconds < 10 and stream.choices[-1]["finish_reason"] == "length"


def test_an_error_comes_at_once_behind_the_text(server: str, served: Runtime, rarely: Any, monkeypatch: Any) -> None:
    whole = Heard(server, "chat/completions", body(3)).text()
    runner, quanta = served.text().text_runner, 0
    step = runner.step

    def breaks(jobs: Sequence[Any]) -> None:
        nonlocal quanta
        quanta += 1
        if quanta == 12:
            jobs[0].fail(BadRequest("the sea is shut"))
        else:
            step(jobs)

    rarely(HOUR)
    monkeypatch.setattr(runner, "step", breaks)
    stream = Heard(server, "chat/completions", body(3))
    assert "the sea is shut" in stream.chunks[-1]["error"]["message"] and stream.seconds < 10
    told = stream.text()
    assert len(told) >= 5 and whole.startswith(told) and told != whole


def test_who_hangs_up_is_cancelled_at_any_pace(server: str, served: Runtime, slow: Any, rarely: Any) -> None:
    slow(0.05)
    rarely(HOUR)
    asked = {**body(4, max_tokens=400), "stream": True}
    with httpx.stream("POST", f"{server}/v1/chat/completions", json=asked, timeout=30) as response:
        next(response.iter_raw())
    left = time.monotonic()
    while served.engine.stats()["running"] or httpx.get(f"{server}/v1/requests").json()["data"][0]["status"] != "cancelled":
        assert time.monotonic() - left < 2  # of 20 s that 400 tokens would take
        time.sleep(0.01)
