"""A text becoming visible: when it ends, and what is told on the way."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from text_requests import text_request

from mmgen.engine.job import Job
from mmgen.runners.generation import TextWriter, Vocabulary
from mmgen.text_params import Sampling

LOGITS = torch.zeros(256)
END = 0


def decode(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def writer(**options: Any) -> TextWriter:
    request = text_request([1], **{"max_tokens": 50, **options})
    return TextWriter(Job("text", request), 0, Vocabulary(decode, frozenset({END})))


def fed(one: TextWriter, data: bytes) -> list[str]:
    """Pieces, token by token, until the text ends."""
    for token in data:
        assert one.reason is None
        one.take(token, LOGITS, complete=False)
    return [piece.text for piece in one.job.log]


def test_it_ends_with_an_end_token() -> None:
    one = writer()
    assert fed(one, b"ab\0") == ["a", "b"]
    assert (one.reason, one.text, one.ids) == ("stop", "ab", [97, 98, END])


def test_it_ends_at_its_length_and_tells_what_was_held() -> None:
    one = writer(max_tokens=4, stop=("def",))
    assert fed(one, b"abde") == ["a", "b", "de"]
    assert one.reason == "length"


def test_a_stop_string_that_the_last_token_completes_is_a_stop() -> None:
    one = writer(max_tokens=4, stop=("de",))
    assert fed(one, b"abde") == ["a", "b"]
    assert one.reason == "stop"


def test_half_a_character_is_told_only_when_nothing_follows() -> None:
    one = writer(max_tokens=3)
    assert fed(one, "é".encode() + b"\xc3") == ["é", "\ufffd"]


def test_a_complete_text_ends() -> None:
    one = writer()
    one.take(97, LOGITS, complete=True)
    assert (one.reason, one.text) == ("stop", "a")


def test_log_probabilities_come_with_the_piece_that_holds_their_tokens() -> None:
    one = writer(sampling=Sampling(logprobs=0), stop=("bcx",))
    fed(one, b"abcd\0")
    assert [(piece.text, [choice.token for choice in piece.choices]) for piece in one.job.log] == [
        ("a", [97]),
        ("bcd", [98, 99, 100]),
        ("", [END]),
    ]
    assert one.written().choices[0].logprob == pytest.approx(-(torch.tensor(256.0).log().item()))
