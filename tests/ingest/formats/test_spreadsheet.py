"""Workbooks: cells as shown, merged cells, hidden sheets, results that are not stored."""

import datetime
import io
from pathlib import Path

import pytest
from office_files import compound, relations, zipped

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats import package
from mmgen.ingest.formats.spreadsheet import xlsx
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.xlsx")
X = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def workbook(rows: str, after: str = "", **parts: str) -> bytes:
    made = {
        "xl/workbook.xml": f'<workbook {X} {R}><sheets><sheet name="S" r:id="s"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(
            {"s": ("worksheet", "sheet.xml"), **{name: (name, f"{name}.xml") for name in parts}}
        ),
        "_rels/.rels": relations({"r": ("officeDocument", "xl/workbook.xml")}),
        "xl/sheet.xml": f"<worksheet {X}><sheetData>{rows}</sheetData>{after}</worksheet>",
        **{f"xl/{name}.xml": content for name, content in parts.items()},
    }
    return zipped(made)


def test_a_workbook_as_openpyxl_writes_it() -> None:
    import openpyxl
    from openpyxl.comments import Comment

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Ships"
    for line in (
        ["Report of ships"],
        [],
        ["Name", "Built", "Price", "Share"],
        ["Anna", datetime.date(2024, 5, 3), 1234.5, 0.25],
    ):
        sheet.append(line)
    sheet["B4"].number_format, sheet["C4"].number_format, sheet["D4"].number_format = "dd.mm.yyyy", '#,##0.00 "EUR"', "0%"
    sheet.append(["Berta", datetime.date(2023, 1, 2), "=C4*2", True])
    sheet.append([None, datetime.date(2022, 1, 2), 7])
    sheet.merge_cells("A5:A6")
    sheet["A4"].comment = Comment("Sold?", "Ann")
    hidden = book.create_sheet("Lists")
    hidden.append(["secret"])
    hidden.sheet_state = "hidden"
    book.save(buffer := io.BytesIO())
    text, pages, metadata = xlsx(PATH, buffer.getvalue())
    assert text == (
        "# Ships\n\nReport of ships\n\nName: Anna\nBuilt: 03.05.2024\nPrice: 1,234.50 EUR\nShare: 25%\n\n"
        "Name: Berta\nBuilt: 2023-01-02\nShare: TRUE\n\nName: Berta\nBuilt: 2022-01-02\nPrice: 7"
    )
    assert metadata == {
        PARTIAL: "the results of 1 formulas, which are not stored (Ships!C5); 1 hidden sheets (Lists)",
        LEFT_OUT: "1 comments",
    }
    assert "[Comment: Sold?]" in xlsx(PATH, buffer.getvalue(), comments=True)[0] and pages == ()


def test_kinds_of_cells() -> None:
    strings = f"<sst {X}><si><t>one</t><rPh><t>yomi</t></rPh></si><si><r><t>tw</t></r><r><t>o</t></r></si></sst>"
    cells = """<c t="s"><v>0</v></c><c t="s"><v>1</v></c><c t="s"><v>9</v></c><c t="inlineStr"><is><t>in</t></is></c>
        <c t="e"><v>#REF!</v></c><c t="str"><f>A1</f><v>made</v></c><c t="d"><v>2024-05-03T00:00:00</v></c>
        <c r="K1"><v>1e400</v></c><c><v>x</v></c><c s="7"><v>2</v></c>"""
    assert xlsx(PATH, workbook(f"<row>{cells}</row>", sharedStrings=strings))[0] == (
        "# S\n\none | two | \ufffd | in | #REF! | made | 2024-05-03 | 1e400 | x | 2"
    )


def test_merged_headers_stand_in_each_name() -> None:
    def cells(*texts: str) -> str:
        shown = "".join(f'<c t="str"><v>{text}</v></c>' if not text.isdigit() else f"<c><v>{text}</v></c>" for text in texts)
        return f"<row>{shown}</row>"

    rows = cells("Item", "Price", "") + cells("", "EUR", "USD") + cells("tea", "4", "5") + cells("salt", "1", "2")
    text, _, _ = xlsx(PATH, workbook(rows, '<mergeCells><mergeCell ref="B1:C1"/><mergeCell ref="A1:A2"/></mergeCells>'))
    assert "Item: tea\nPrice EUR: 4\nPrice USD: 5" in text


def test_bombs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One long text to which each cell refers, a merged range as large as the sheet, millions of empty rows and cells."""
    strings = f"<sst {X}><si><t>{'x' * 100_000}</t></si></sst>"
    data = workbook('<row><c t="s"><v>0</v></c></row>' * 500, sharedStrings=strings)
    text, _, metadata = xlsx(PATH, data)
    assert len(text) < 16 * len(data) + 2**20 and "characters: a file of this size may give" in metadata[PARTIAL]
    merged = '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    assert xlsx(PATH, workbook("<row><c><v>5</v></c></row>", merged))[0] == "# S\n\n5"
    monkeypatch.setattr(package, "TAGS_GROWTH", 1)
    monkeypatch.setattr(package, "TAGS_ROOM", 2**13)
    for rows in ("<row/>" * 30_000, f"<row>{'<c/>' * 30_000}</row>"):
        _, _, metadata = xlsx(PATH, workbook(rows))
        assert metadata[PARTIAL].startswith("sheet S from there on, which holds more than")


def test_a_damaged_part_costs_itself_alone() -> None:
    text, _, metadata = xlsx(PATH, workbook("<row><c><v>5</v></c></row><row><c><broken"))
    assert text == "# S\n\n5" and metadata[PARTIAL].startswith("sheet S from there on, which a damaged xlsx")
    _, _, metadata = xlsx(PATH, workbook("<row><c><v>5</v></c></row>", styles="<no", sharedStrings="<no"))
    assert "shared texts" in metadata[PARTIAL] and "number formats" in metadata[PARTIAL]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (workbook("")[:-100], "is a damaged xlsx"),
        (compound({"Workbook": b"x"}), r"is an old Excel file \(.xls\); save it as xlsx"),
        (compound({"EncryptedPackage": b"x"}), "is encrypted; save it without a password first"),
        (zipped({"xl/workbook.bin": b""}), "is no xlsx but xlsb by its content"),
        (zipped({"xl/workbook.xml": "<!DOCTYPE x><x/>"}), "declares a document type"),
    ],
)
def test_bad_input_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        xlsx(PATH, data)
