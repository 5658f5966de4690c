"""Pieces of text are whole characters and together the whole text; stop strings are found across all borders."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import byte_level, sentencepiece
from tokenizers import Tokenizer

from mmgen.models.lm.detokenizer import Detokenizer, Stops

Decode = Callable[[Sequence[int]], str]


BYTES, PIECES = byte_level(), sentencepiece()
text = st.text(max_size=30) | st.text("ab é 你好😀​\n", max_size=30)


def told(decode: Decode, ids: Sequence[int]) -> list[str]:
    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.push(token) for token in ids]
    return [*pieces, detokenizer.flush()]


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
@settings(max_examples=150, deadline=None)
@given(text=text)
def test_pieces_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    whole = tokenizer.decode(ids)
    pieces = told(tokenizer.decode, ids)
    assert "".join(pieces) == whole
    assert whole.startswith("".join(pieces[:-1]))  # nothing told before the end was half a character


@settings(max_examples=150, deadline=None)
@given(ids=st.lists(st.integers(0, BYTES.get_vocab_size() - 1), max_size=25))
def test_any_bytes_are_told_as_the_whole_decoding_has_them(ids: list[int]) -> None:
    assert "".join(told(BYTES.decode, ids)) == BYTES.decode(ids)


def test_a_character_comes_with_its_last_byte() -> None:
    ids = BYTES.encode("a😀é", add_special_tokens=False).ids
    pieces = told(BYTES.decode, ids)
    assert [piece for piece in pieces if piece] == ["a", "😀", "é"]
    assert len(ids) == 7


def test_a_half_character_at_the_end_is_told_at_last() -> None:
    ids = BYTES.encode("a😀", add_special_tokens=False).ids[:3]
    assert told(BYTES.decode, ids) == ["a", "", "", "�"]


def test_words_keep_their_spaces() -> None:
    ids = [PIECES.token_to_id(piece) for piece in ("▁a", "▁be", "c", "▁a")]
    assert told(PIECES.decode, ids) == ["a", " be", "c", " a", ""]


def test_a_token_without_text_does_not_cost_the_next_word_its_space() -> None:
    ids = [PIECES.token_to_id(piece) for piece in ("▁a", "<end>", "▁be")]
    assert told(PIECES.decode, ids) == ["a", "", " be", ""]


@settings(max_examples=300, deadline=None)
@given(st.text("abc", max_size=20), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.data())
def test_a_stop_string_ends_the_text_wherever_pieces_begin(text: str, strings: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stops, out = Stops(strings), ""
    for piece in pieces:
        out += stops.push(piece)
    out += stops.flush()
    ends = {at + len(stop) for stop in strings for at in range(len(text)) if text.startswith(stop, at)}
    if ends:
        assert stops.found is not None
        assert not any(stop in out for stop in strings)
        assert text.startswith(out + stops.found)
    else:
        assert (stops.found, out) == (None, text)


def test_text_is_held_only_while_it_can_become_a_stop_string() -> None:
    stops = Stops(["\nUser:"])
    assert [stops.push(piece) for piece in ("Hi", "\nUs", "ually", "\n")] == ["Hi", "", "\nUsually", ""]
    assert stops.flush() == "\n"
    assert stops.found is None


def test_the_longer_of_two_stop_strings_at_one_place() -> None:
    stops = Stops(["</", "</s>"])
    assert stops.push("a</s>b") == "a"
    assert stops.found == "</s>"
