"""All that Word shows on the page stands in the text; what does not is told."""

from pathlib import Path

import pytest
from office_files import cell, paragraph, run, table, word, zipped

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats import package
from mmgen.ingest.formats.word.document import docx
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.docx")


def text_of(body: str, **parts: str) -> str:
    return docx(PATH, word(body, **parts))[0]


def test_headers_and_footers_stand_around_the_text_once() -> None:
    """Of each section what it shows: a first page's only with titlePg, even pages' never without the setting."""
    references = "".join(
        f'<w:{kind}Reference w:type="{type}" r:id="{kind}{n}"/>'
        for kind in ("header", "footer")
        for n, type in enumerate(("default", "first", "even"), 1)
    )
    section = f"<w:sectPr>{references}</w:sectPr>"
    parts = {f"{kind}{n}": paragraph(f"{kind} {n}") for kind in ("header", "footer") for n in (1, 2, 3)}
    assert text_of(paragraph("one", section) + paragraph("two") + section, **parts) == "header 1\n\none\n\ntwo\n\nfooter 1"
    first = section.replace("</w:sectPr>", "<w:titlePg/></w:sectPr>")
    assert text_of(paragraph("one") + first, **parts) == "header 2\n\nheader 1\n\none\n\nfooter 2\n\nfooter 1"
    settings = "<w:evenAndOddHeaders/>"
    assert text_of(paragraph("one") + section, **parts, settings=settings).startswith("header 1\n\nheader 3\n\none")


def test_fields_show_their_result() -> None:
    simple = f'<w:fldSimple w:instr="MERGEFIELD Hirer">{run("Mrs Tanner")}</w:fldSimple>'
    mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'.format
    code = "<w:r><w:instrText>IF </w:instrText></w:r>"
    inner = mark("begin") + code + mark("separate") + run("inner") + mark("end")
    whole = mark("begin") + code + inner + run(" hidden code") + mark("separate") + run("shown") + mark("end")
    assert text_of(f"<w:p>{run('By ')}{simple}{run('.')}</w:p><w:p>{whole}{run('!')}</w:p>") == "By Mrs Tanner.\n\nshown!"
    begun, ended = mark("begin") + code + mark("separate") + run("a"), run("b") + mark("end")
    assert text_of(f"<w:p>{begun}</w:p><w:p>{ended}</w:p>") == "a\n\nb"


def test_form_fields_show_what_is_chosen() -> None:
    form = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{}</w:ffData></w:fldChar><w:fldChar w:fldCharType="end"/></w:r>'
    ticked = form.format("<w:checkBox><w:checked/></w:checkBox>")
    empty = form.format('<w:checkBox><w:default w:val="0"/></w:checkBox>')
    entries = '<w:listEntry w:val="red"/><w:listEntry w:val="blue"/>'
    chosen = form.format(f'<w:ddList><w:result w:val="1"/>{entries}</w:ddList>')
    assert text_of(f"<w:p>{ticked}{run(' yes ')}{empty}{run(' no ')}{chosen}</w:p>") == "☒ yes ☐ no blue"


def test_text_boxes_follow_their_paragraph_once() -> None:
    """Word writes each twice: for itself, and for older programs."""
    box = f"<w:txbxContent>{paragraph('Deposit: 900 euros')}</w:txbxContent>"
    old = f"<w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict>"
    both = f"<w:r><mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{old}</mc:Fallback></mc:AlternateContent></w:r>"
    alone = f"<w:r><mc:AlternateContent><mc:Choice/><mc:Fallback>{old}</mc:Fallback></mc:AlternateContent></w:r>"
    for written in (both, alone, f"<w:r>{old}</w:r>"):
        assert text_of(f"<w:p>{run('before')}{written}{run(' after')}</w:p>") == "before after\n\nDeposit: 900 euros"


def test_notes_follow_the_paragraph_that_refers_to_them() -> None:
    reference = '<w:r><w:{}Reference w:id="{}"/></w:r>'.format
    separator = '<w:footnote w:id="0" w:type="separator"><w:p/></w:footnote>'
    notes = f'{separator}<w:footnote w:id="7">{paragraph("Not snakes.")}</w:footnote>'
    ends = f'<w:endnote w:id="1">{paragraph("See Smith.")}</w:endnote>'
    body = f"<w:p>{run('Pets may come.')}{reference('footnote', 7)}{reference('endnote', 1)}</w:p>{paragraph('next')}"
    shown = "Pets may come.[1][i]\n\n[1] Not snakes.\n\n[i] See Smith.\n\nnext"
    assert text_of(body, footnotes=notes, endnotes=ends) == shown
    text, _, metadata = docx(PATH, word(body, endnotes=ends))
    assert text.startswith("Pets may come.[1][i]") and metadata[PARTIAL] == "1 footnotes, which are not in the file"


def test_comments_are_told_or_read() -> None:
    comment = f'<w:comment w:id="0" w:author="Ann">{paragraph("Check this.")}</w:comment>'
    data = word(f'<w:p>{run("Text.")}<w:r><w:commentReference w:id="0"/></w:r></w:p>', comments=comment)
    assert docx(PATH, data) == ("Text.", (), {LEFT_OUT: "1 comments"})
    assert docx(PATH, data, comments=True) == ("Text.\n\n[Comment by Ann: Check this.]", (), {})


def test_tracked_changes_count_as_accepted() -> None:
    gone = f"<w:del>{run('x').replace('w:t', 'w:delText')}<w:r><w:tab/></w:r></w:del><w:moveFrom>{run('moved')}</w:moveFrom>"
    new = f"<w:ins>{run('new')}</w:ins><w:moveTo>{run(' here')}</w:moveTo>"
    assert text_of(f"<w:p>{gone}{new}</w:p>") == "new here"
    assert text_of(paragraph("one ", "<w:rPr><w:del/></w:rPr>") + paragraph("two")) == "one two"
    rows = table(cell("a") + cell("b"), f"<w:trPr><w:del/></w:trPr>{cell('c')}{cell('d')}")
    assert text_of(rows) == "a | b"


def test_hidden_text_is_not_shown() -> None:
    styles = '<w:style w:type="character" w:styleId="S"><w:rPr><w:vanish/></w:rPr></w:style>'
    styled, hidden = run("a", '<w:rStyle w:val="S"/>'), run("b", "<w:vanish/>")
    shown = run("c", '<w:vanish w:val="0"/>')
    assert text_of(f"<w:p>{styled}{hidden}{shown}</w:p>", styles=styles) == "c"


def test_headings_by_style_or_level() -> None:
    styles = """<w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>
        <w:style w:type="paragraph" w:styleId="Own"><w:basedOn w:val="berschrift2"/></w:style>
        <w:style w:type="paragraph" w:styleId="Round"><w:basedOn w:val="Round"/></w:style>"""
    body = paragraph("two", '<w:pStyle w:val="Own"/>') + paragraph("four", '<w:outlineLvl w:val="3"/>')
    assert text_of(body + paragraph("text", '<w:pStyle w:val="Round"/>'), styles=styles) == "## two\n\n#### four\n\ntext"


def test_tables_carry_their_header_and_merged_cells() -> None:
    wide = '<w:gridSpan w:val="2"/>'
    body = table(
        f"<w:trPr><w:tblHeader/></w:trPr>{cell('Day')}{cell('Berth', wide)}",
        cell("Monday", '<w:vMerge w:val="restart"/>') + cell("Pier one") + cell("early"),
        cell("", "<w:vMerge/>") + cell("all day", wide),
    )
    assert text_of(body) == "Day: Monday\nBerth: Pier one\nBerth: early\n\nDay: Monday\nBerth: all day"


def test_a_bold_first_row_names_the_columns_and_one_column_is_a_frame() -> None:
    strong = "".join(f"<w:tc><w:p>{run(word, '<w:b/>')}</w:p></w:tc>" for word in ("Name", "Town"))
    assert text_of(table(strong, cell("Odile") + cell("Kiel"))) == "Name: Odile\nTown: Kiel"
    assert text_of(table(cell("Name") + cell("Odile"), cell("Town") + cell("Kiel"))) == "Name | Odile\nTown | Kiel"
    inner = f"<w:tc>{paragraph('Framed.')}{table(cell('a') + cell('b'))}<w:p/></w:tc>"
    assert text_of(table(inner)) == "Framed.\n\na | b"


def test_what_cannot_be_read_is_told() -> None:
    body = """<w:p><w:r><w:object><o:OLEObject ProgID="Equation.3"/></w:object></w:r>
        <w:r><w:pict><v:imagedata/></w:pict></w:r></w:p><w:altChunk/>"""
    _, _, metadata = docx(PATH, word(paragraph("Text.") + body))
    assert metadata == {PARTIAL: "1 embedded objects (Equation.3); 1 embedded documents", LEFT_OUT: "1 pictures"}
    with pytest.raises(Unreadable, match=r"holds no text that can be read; it lacks 1 embedded objects \(Equation.3\)"):
        docx(PATH, word(body))


def test_a_damaged_part_costs_itself_alone() -> None:
    whole = word(paragraph("Text."), styles="<broken", footnotes="")
    text, _, metadata = docx(PATH, whole)
    assert text == "Text." and metadata[PARTIAL].startswith("styles, which a damaged docx (word/styles.xml: XMLSyntaxError")
    cut = word(paragraph("Text.") * 3 + "<w:p><w:broken")
    text, _, metadata = docx(PATH, cut)
    assert text == "Text.\n\n" * 2 + "Text." and metadata[PARTIAL].startswith("the text from there on, which ")


def test_symbols_and_special_characters() -> None:
    body = """<w:p><w:r><w:sym w:font="Wingdings" w:char="F0FE"/><w:tab/><w:sym w:font="Symbol" w:char="F061"/>
        <w:noBreakHyphen/><w:sym w:font="Own" w:char="F041"/><w:softHyphen/><w:br/><w:t>x</w:t></w:r></w:p>"""
    assert text_of(body) == "☑\tα-\ufffd\nx"
    ruby = (
        "<w:r><w:ruby><w:rt><w:r><w:t>かん</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>漢</w:t></w:r></w:rubyBase></w:ruby></w:r>"
    )
    assert text_of(f"<w:p>{ruby}</w:p>") == "漢(かん)"


def test_the_strict_edition_is_read_too(tmp_path: Path) -> None:
    space = 'xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main"'
    body = f"<w:document {space}><w:body>{paragraph('Strict.')}</w:body></w:document>"
    assert docx(PATH, zipped({"word/document.xml": body}))[0] == "Strict."


@pytest.mark.parametrize(
    "body",
    [
        "<w:p/>" * 20_000,
        f"<w:tbl><w:tr><w:tc>{'<w:p/>' * 20_000}</w:tc></w:tr></w:tbl>",
        f"<w:p>{'<w:r/>' * 20_000}</w:p>",
        f"<w:p><w:r>{'<w:tab/>' * 20_000}</w:r></w:p>",
        table(*["<w:tc/>" * 10] * 2000),
    ],
    ids=["paragraphs", "in a cell", "runs", "in a run", "cells"],
)
def test_millions_of_empty_elements_are_refused_or_told(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 million paragraphs of 69 KB would take minutes; elements are freed as they are read, so memory stays small."""
    monkeypatch.setattr(package, "TAGS_GROWTH", 1)
    monkeypatch.setattr(package, "TAGS_ROOM", 2**13)
    text, _, metadata = docx(PATH, word(paragraph("Text.") + body))
    assert text == "Text."
    assert "the text from there on, which holds more than" in metadata[PARTIAL] and "an XML bomb?" in metadata[PARTIAL]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (word(paragraph("Text."))[:-300], "is a damaged docx (BadZipFile"),
        (b"PK\x03\x04 broken", "is a damaged docx (BadZipFile"),
        (b"%PDF-1.7", "is no docx but a pdf by its content; rename it"),
        (b"{\\rtf1 Text}", "is no docx but a rtf by its content; rename it"),
        (zipped({"xl/workbook.xml": "<x/>"}), "is no docx but xlsx by its content; rename or convert it"),
        (zipped({"a.txt": "Text."}), "is a damaged docx (it has no word/document.xml); save it anew"),
        (zipped({"word/document.xml": '<!DOCTYPE x [<!ENTITY e "ee">]><x>&e;</x>'}), "declares a document type"),
        (
            zipped({"word/document.xml": '<!DOCTYPE x SYSTEM "file:///etc/passwd" [<!ENTITY % a SYSTEM "file:///x">%a;]><x/>'}),
            "declares a document type",
        ),
        (zipped({"word/document.xml": b"\xff\xfe<x"}), "is a damaged docx (word/document.xml: "),
        (zipped({"word/document.xml": "<x/>", "word/_rels/document.xml.rels": "<a>" * 300}), "is a damaged docx"),
    ],
)
def test_bad_input_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as error:
        docx(PATH, data)
    assert message in str(error.value) and "\n" not in str(error.value)
