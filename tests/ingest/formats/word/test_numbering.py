"""List numbers as Word shows them."""

import pytest
from lxml import etree
from office_files import W, paragraph, word

from mmgen.ingest.formats.numerals import chinese, letters, ordinal, roman
from mmgen.ingest.formats.word.document import docx
from mmgen.ingest.formats.word.numbering import WordNumbering
from mmgen.ingest.records import PARTIAL


def level(depth: int, format: str, text: str, more: str = "") -> str:
    return f'<w:lvl w:ilvl="{depth}"><w:start w:val="1"/><w:numFmt w:val="{format}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


LEVELS = level(0, "decimal", "%1.") + level(1, "lowerLetter", "%2)") + level(2, "upperRoman", "%1.%2.%3")
NUMBERING = f"""<w:abstractNum w:abstractNumId="5">{LEVELS}</w:abstractNum>
    <w:abstractNum w:abstractNumId="6">{level(0, "bullet", "x")}
    {level(1, "decimal", "§ %1.%2", "<w:isLgl/>")}</w:abstractNum>
    <w:num w:numId="1"><w:abstractNumId w:val="5"/></w:num>
    <w:num w:numId="2"><w:abstractNumId w:val="5"/>
    <w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>
    <w:num w:numId="3"><w:abstractNumId w:val="6"/></w:num>"""


def test_labels() -> None:
    numbering = WordNumbering.of(etree.fromstring(f"<w:numbering {W}>{NUMBERING}</w:numbering>"))
    steps = [
        ("1", 0),
        ("1", 1),
        ("1", 1),
        ("1", 2),
        ("1", 0),
        ("1", 1),
        ("2", 0),
        ("2", 0),
        ("1", 0),
        ("3", 0),
        ("3", 1),
        ("9", 0),
    ]
    shown = ["1.", "a)", "b)", "1.b.I", "2.", "a)", "7.", "8.", "9.", "-", "§ 1.1", ""]
    assert [numbering.label(*step) for step in steps] == shown


def test_paragraphs_carry_their_labels_by_themselves_or_by_style() -> None:
    styles = """<w:style w:type="paragraph" w:styleId="L"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
        <w:style w:type="paragraph" w:styleId="H"><w:basedOn w:val="L"/><w:name w:val="heading 1"/></w:style>"""
    numbered = '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="{}"/></w:numPr>'.format
    body = paragraph("Scope", '<w:pStyle w:val="H"/>') + paragraph("one", numbered(1, 1))
    body += paragraph("none", f'<w:pStyle w:val="L"/>{numbered(0, 0)}') + paragraph("two", '<w:pStyle w:val="L"/>')
    assert docx(None, word(body, styles=styles, numbering=NUMBERING))[0] == "# 1. Scope\n\na) one\n\nnone\n\n2. two"  # type: ignore[arg-type]


def test_a_format_that_is_not_known_is_shown_as_digits_and_told() -> None:
    thai = NUMBERING.replace("upperRoman", "thaiLetters").replace('"decimal"', '"thaiLetters"')
    body = paragraph("x", '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>')
    text, _, metadata = docx(None, word(body, numbering=thai))  # type: ignore[arg-type]
    assert text == "1. x" and "thaiLetters, which are shown as digits" in metadata[PARTIAL]


@pytest.mark.parametrize(("number", "shown"), [(4, "iv"), (1999, "mcmxcix"), (0, "0"), (4000, "4000")])
def test_roman(number: int, shown: str) -> None:
    assert roman(number) == shown


def test_other_numerals() -> None:
    assert [letters(1), letters(28), letters(28, repeated=False), letters(0)] == ["a", "bb", "ab", "0"]
    assert list(map(ordinal, (1, 2, 3, 4, 11, 22))) == ["1st", "2nd", "3rd", "4th", "11th", "22nd"]
    assert list(map(chinese, (0, 3, 10, 11, 20, 101))) == ["〇", "三", "十", "十一", "二十", "一〇一"]
