"""OpenDocument: letters, spreadsheets and presentations."""

from pathlib import Path

import pytest
from office_files import zipped

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats import package
from mmgen.ingest.formats.open_document import odp, ods, odt
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.odt")
NAMES = "office text table style presentation meta manifest"
SPACE = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in NAMES.split())
SPACE += ' xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" xmlns:xlink="http://www.w3.org/1999/xlink"'
SPACE += ' xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" xmlns:math="http://www.w3.org/1998/Math/MathML"'


def opened(body: str, kind: str = "text", styles: str = "", automatic: str = "", **parts: str) -> bytes:
    """An OpenDocument file; more parts by the folder of an object: its content.xml."""
    inside = f"<office:automatic-styles>{automatic}</office:automatic-styles>"
    inside += f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    return zipped({
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "content.xml": f"<office:document-content {SPACE}>{inside}</office:document-content>",
        "styles.xml": f"<office:document-styles {SPACE}>{styles}</office:document-styles>",
        **{f"{name}/content.xml": content for name, content in parts.items()},
    })  # fmt: skip


def p(text: str, more: str = "") -> str:
    return f"<text:p {more}>{text}</text:p>"


def note(text: str) -> str:
    citation = "<text:note-citation>1</text:note-citation>"
    return f"<text:note text:note-class='footnote'>{citation}<text:note-body>{p(text)}</text:note-body></text:note>"


def items(*texts: str) -> str:
    return "".join(f"<text:list-item>{text}</text:list-item>" for text in texts)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (p("a  b<text:s text:c='2'/>c<text:tab/>d<text:line-break/>e <text:span>f</text:span> g"), "a b  c\td\ne f g"),
        ('<text:h text:outline-level="2">Scope</text:h>' + p("x"), "## Scope\n\nx"),
        ('<text:h text:outline-level="-1">Scope</text:h>', "# Scope"),
        (p(f"Pets.{note('Not snakes.')} x"), "Pets.[1] x\n\n[1] Not snakes."),
        (p(f"a<draw:frame><draw:text-box>{p('900 euros')}</draw:text-box></draw:frame>b"), "ab\n\n900 euros"),
        (f"<text:tracked-changes>{p('gone')}</text:tracked-changes>{p('new')}", "new"),
        (p("By <text:user-field-get>Mrs Tanner</text:user-field-get>."), "By Mrs Tanner."),
        (p("a<text:span text:style-name='H'>hidden</text:span>b") + p("gone", "text:style-name='H'"), "ab"),
        (f"<text:section text:display='none'>{p('gone')}</text:section><text:section>{p('b')}</text:section>", "b"),
        (p("<text:ruby><text:ruby-base>漢</text:ruby-base><text:ruby-text>かん</text:ruby-text></text:ruby>"), "漢(かん)"),
        (p("E is <draw:frame><draw:object xlink:href='./Object 1'/></draw:frame>!"), "E is mc^2!"),
    ],
)  # fmt: skip
def test_text(body: str, text: str) -> None:
    hidden = "<style:style style:name='H'><style:text-properties text:display='none'/></style:style>"
    formula = (
        f"<math:math {SPACE}><math:mi>m</math:mi><math:msup><math:mi>c</math:mi><math:mn>2</math:mn></math:msup></math:math>"
    )
    assert odt(PATH, opened(body, automatic=hidden, **{"Object 1": formula}))[0] == text


def test_lists_show_their_numbers() -> None:

    def number(level: int, format: str, suffix: str, shown: int) -> str:
        about = f'style:num-format="{format}" style:num-suffix="{suffix}" text:display-levels="{shown}"'
        return f'<text:list-level-style-number text:level="{level}" {about}/>'

    levels = f"{number(1, '1', '.', 1)}{number(2, 'a', ')', 1)}{number(3, 'I', '', 3)}"
    style = f"<text:list-style style:name='L'>{levels}</text:list-style>"
    deep = f"<text:list>{items(p('d'))}</text:list>"
    inner = f"<text:list>{items(p('b') + p('more'), p('c') + deep)}</text:list>"
    body = f"<text:list text:style-name='L'>{items(p('a') + inner)}</text:list>"
    again = f"<text:list text:style-name='L' text:continue-numbering='true'>{items(p('e'))}</text:list>"
    text = odt(PATH, opened(f"{body}{p('x')}{again}", automatic=style))[0]
    assert text == "1. a\n\na) b\n\nmore\n\nb) c\n\n1.b.I d\n\nx\n\n2. e"
    outline = f"<text:outline-style>{number(1, '1', '', 1)}{number(2, '1', '', 2)}</text:outline-style>".replace(
        "list-level", "outline-level"
    )
    heads = "".join(f'<text:h text:outline-level="{level}">h</text:h>' for level in (1, 2, 2, 1))
    assert odt(PATH, opened(heads, styles=outline))[0] == "# 1 h\n\n## 1.1 h\n\n## 1.2 h\n\n# 2 h"


def cell(text: str, more: str = "", kind: str = "table-cell") -> str:
    return f"<table:{kind} {more}>{p(text) if text else ''}</table:{kind}>"


def test_tables_headers_and_footers() -> None:
    rows = "".join(f"<table:table-row>{row}</table:table-row>" for row in (
        cell("Monday", "table:number-rows-spanned='2'") + cell("Pier one"),
        cell("", kind="covered-table-cell") + cell("Pier two"),
    ))  # fmt: skip
    head = f"<table:table-header-rows><table:table-row>{cell('Day')}{cell('Berth')}</table:table-row></table:table-header-rows>"
    around = f"<style:header>{p('HF-7731')}</style:header><style:footer>{p('0800')}</style:footer>"
    master = f"<style:master-page style:name='Standard'>{around}"
    unused = f"<style:header-left style:display='false'>{p('x')}</style:header-left></style:master-page>"
    text = odt(PATH, opened(f"<table:table>{head}{rows}</table:table>", styles=master + unused))[0]
    assert text == "HF-7731\n\nDay: Monday\nBerth: Pier one\n\nDay: Monday\nBerth: Pier two\n\n0800"


def test_what_is_not_read_is_told() -> None:
    note = f"<office:annotation>{p('remark')}</office:annotation>"
    body = p(f"Text{note}.<draw:frame><draw:image/></draw:frame><draw:frame><draw:object-ole/></draw:frame>")
    text, _, metadata = odt(PATH, opened(body))
    assert text == "Text." and metadata == {PARTIAL: "1 embedded objects", LEFT_OUT: "1 comments, 1 pictures"}
    assert odt(PATH, opened(body), comments=True)[0] == "Text.\n\n[Comment: remark]"


def test_sheets() -> None:
    """Cells as they are shown; what repeats is bounded; hidden sheets are told."""

    def row(*cells: str, more: str = "") -> str:
        empty = cell("", "table:number-columns-repeated='16000'")
        return f"<table:table-row {more}>{''.join(cells)}{empty}</table:table-row>"

    hidden = "<style:style style:name='H'><style:table-properties table:display='false'/></style:style>"
    rows = row(cell("Name"), cell("Built"), cell("Price")) + row(cell("Anna"), cell("2024"), cell("1,50 EUR"))
    rows += row(cell("Bo"), cell("7", "table:number-columns-repeated='2'"), more="table:number-rows-repeated='2'")
    rows += row(more="table:number-rows-repeated='1000000'")
    secret = f"<table:table table:name='Lists' table:style-name='H'>{row(cell('secret'))}</table:table>"
    after = f"<table:table table:name='Next'>{row(cell('x'))}</table:table>"
    body = f"<table:table table:name='Ships'>{rows}</table:table>{secret}{after}"
    text, _, metadata = ods(PATH, opened(body, "spreadsheet", automatic=hidden))
    bo = "Name: Bo\nBuilt: 7\nPrice: 7"
    assert text == f"# Ships\n\nName: Anna\nBuilt: 2024\nPrice: 1,50 EUR\n\n{bo}\n\n{bo}\n\n# Next\n\nx"
    assert metadata == {PARTIAL: "1 hidden sheets (Lists)"}
    bomb = row(cell("x" * 1000, "table:number-columns-repeated='16000'"), more="table:number-rows-repeated='1000000'")
    data = opened(f"<table:table table:name='B'>{bomb}</table:table>", "spreadsheet")
    text, _, metadata = ods(PATH, data)
    assert len(text) <= 16 * len(data) + 2**20 and metadata[PARTIAL]


def test_slides() -> None:
    def frame(y: int, text: str, more: str = "") -> str:
        return f'<draw:frame svg:x="1cm" svg:y="{y}cm" {more}><draw:text-box>{p(text)}</draw:text-box></draw:frame>'

    hidden = "<style:style style:name='H'><style:drawing-page-properties presentation:visibility='hidden'/></style:style>"
    notes = f"<presentation:notes>{frame(1, 'Say hello')}</presentation:notes>"
    shapes = frame(9, "below") + frame(3, "above") + frame(5, "Title", "presentation:class='title'") + notes
    body = f"<draw:page>{shapes}</draw:page><draw:page draw:style-name='H'>{frame(1, 'x')}</draw:page>"
    body += f"<draw:page>{frame(1, 'last')}</draw:page>"
    text, pages, metadata = odp(PATH, opened(body, "presentation", automatic=hidden))
    assert text == "# Title\n\nabove\n\nbelow\n\nNotes: Say hello\n\nlast"
    assert [text[at : at + 4] for at in pages] == ["# Ti", "last", "last"] and metadata == {PARTIAL: "1 hidden slides (2)"}


def test_bad_input_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = (
        f"<manifest:manifest {SPACE}><manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>"
    )
    for data, message in (
        (zipped({"content.xml": "<x/>", "META-INF/manifest.xml": manifest}), "is encrypted; save it without a password first"),
        (zipped({"encrypted-package": b"x"}), "is encrypted"),
        (opened(p("x"))[:-90], "is a damaged odt"),
        (opened("", "spreadsheet"), "is no odt but ods by its content"),
        (zipped({"content.xml": "<!DOCTYPE x><x/>"}), "declares a document type"),
    ):
        with pytest.raises(Unreadable, match=message):
            odt(PATH, data)
    text, _, metadata = odt(PATH, opened(p("Text.") + "<broken"))
    assert text == "Text." and metadata[PARTIAL].startswith("the text from there on, which a damaged odt")
    monkeypatch.setattr(package, "TAGS_GROWTH", 1)
    monkeypatch.setattr(package, "TAGS_ROOM", 2**13)
    for bomb in ("<text:p/>" * 30_000, f"<table:table>{'<table:table-row/>' * 20_000}</table:table>"):
        assert "an XML bomb?" in odt(PATH, opened(p("Text.") + bomb))[2][PARTIAL]
