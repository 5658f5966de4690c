"""Encodings: what is certain is taken, what is guessed is said, what is no text is refused."""

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgen.ingest.charset import Unreadable, clean, decode


@given(st.text())
def test_utf8_is_read_as_it_is(text: str) -> None:
    controls = sum(c < " " and c not in "\t\n\r\f\x1b" for c in text)
    if controls == 0:
        assert decode(text.encode()) == (clean(text), {})


@given(st.text(st.characters(codec="utf-8") | st.characters()))
def test_what_is_clean_can_be_stored_and_stays(text: str) -> None:
    once = clean(text)
    once.encode("utf-8")
    assert not {"\r", "\0"} & set(once)
    assert clean(once.removeprefix("\ufeff")) == once.removeprefix("\ufeff").removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("caf\u00e9", "latin-1"),
        ("Le th\u00e9\u00e2tre \u00e9tait ferm\u00e9 \u00e0 cause de l'\u00e9t\u00e9.", "latin-1"),
        ("\u201cSmart quotes\u201d and a dash \u2013 they\u2019re from a word processor.", "cp1252"),
        ("Zażółć gęślą jaźń, powiedział Łukasz do siostry.", "cp1250"),
        ("Привет, это обычный русский текст про корабли и маяки.", "cp1251"),
        ("これは日本語の文章です。灯台は海にあります。", "shift_jis"),
        ("这是一个中文句子。灯塔在海边。", "gb18030"),
        ("hello there, my friend", "utf-16"),
        ("hello there, my friend", "utf-16-le"),
        ("hello there, my friend", "utf-16-be"),
        ("hello there, my friend", "utf-32"),
    ],
)
def test_other_encodings_are_found_and_named(text: str, encoding: str) -> None:
    read, metadata = decode(text.encode(encoding))
    assert read == text
    assert metadata["encoding"] != "utf-8"


def test_the_declared_encoding_comes_before_a_guess() -> None:
    assert decode("Тест".encode("koi8-r"), "koi8-r") == ("Тест", {"encoding": "koi8-r"})
    assert decode("Größe".encode(), "latin-1") == ("Größe", {})
    assert decode("Größe".encode("latin-1"), "no-such-encoding")[0] == "Größe"


def test_a_few_bad_bytes_do_not_spoil_the_rest() -> None:
    text = "Größe über Maß, " * 10
    assert decode(text.encode() + b"\xff") == (text + "\ufffd", {"encoding": "utf-8, 1 characters unreadable"})


@pytest.mark.parametrize(
    "data",
    [random.Random(0).randbytes(4000), gzip.compress(b"hello" * 100, mtime=0), b"\0\1\2\3" * 100, b"\x7fELF\2\1\1" + bytes(99)],
)
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match=r"is a binary file|is compressed \(gzip\)|is a program"):
        decode(data)
