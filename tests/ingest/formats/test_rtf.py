"""RTF: code pages, Unicode, hidden text, tables, notes, fields."""

from pathlib import Path

import pytest

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats import rtf as module
from mmgen.ingest.formats.rtf import lines, rtf
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.rtf")
FONTS = rb"{\fonttbl{\f0\fnil Arial;}{\f1\fcharset204 Arial Cyr;}{\f2\fcharset128 MS Mincho;}}"


def text_of(inside: bytes) -> str:
    return rtf(PATH, rb"{\rtf1\ansi\ansicpg1252\deff0" + FONTS + inside + b"}")[0]


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (rb"S\'fc\'df", "Süß"),
        (rb"{\f1 \'cf\'f0\'e8\'e2\'e5\'f2}!", "Привет!"),
        (rb"{\f2 \'93\'fa\'96\'7b}", "日本"),
        (rb"a\u8364\'80b\u8364?c{\uc0\u-10179\u-8704 d}", "a€b€c😀d"),
        (rb"\mac \'8a", "ä"),
        (rb"a{\v hidden}b{\deleted gone}c\v x\v0 d", "abcd"),
        (rb"a\tab b\line c\par d\endash e\~f\_g\-h\\\{\}", "a\tb\nc\n\nd–e\u00a0f-gh\\{}"),
        (rb"{\field{\*\fldinst MERGEFIELD x}{\fldrslt Mrs Tanner}}", "Mrs Tanner"),
        (rb"{\*\unknown gone}{\pict 00ff}x\bin4 ab}{y", "xy"),
        (rb"\pard\outlinelevel1 Two\par\pard text", "## Two\n\ntext"),
        (rb"{\listtext\tab 3.\tab}item", "3. item"),
        (rb"Pets.{\footnote Not snakes.}\par x", "Pets.[1]\n\n[1] Not snakes.\n\nx"),
        (rb"{\header Head\par}{\footer Foot}text", "Head\n\ntext\n\nFoot"),
        (rb"\intbl Day\cell Berth\cell\row\intbl 3 May\cell Pier 4\cell\row\pard x", "Day: 3 May\nBerth: Pier 4\n\nx"),
        (rb"{\shp{\*\shpinst{\sp{\sn a}{\sv 1}}{\shptxt Deposit: 900 euros\par}}}x", "Deposit: 900 euros\n\nx"),
    ],
)
def test_text(inside: bytes, text: str) -> None:
    assert text_of(inside) == text


def test_what_is_not_read_is_told() -> None:
    text, _, metadata = rtf(PATH, rb"{\rtf1{\info{\title Ships}}Text.{\pict 00}{\*\annotation remark} cut {\b here")
    assert text == "Text. cut here" and metadata["title"] == "Ships"
    assert metadata[LEFT_OUT] == "1 pictures, 1 comments" and metadata[PARTIAL].startswith("what follows: the file is cut")


def test_bad_input_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, message in (
        (b"PK\x03\x04", "is no rtf"),
        (b"Text", "is no rtf by its content"),
        (b"%PDF-1", "is no rtf but a pdf"),
    ):
        with pytest.raises(Unreadable, match=message):
            rtf(PATH, data)
    with pytest.raises(Unreadable, match="10,000 groups within one another"):
        rtf(PATH, rb"{\rtf1" + b"{" * 20_000)
    assert module.DEEPEST == 10_000 and list(lines(rb"{\rtf1 a\par b}")) == ["a", "b"]
