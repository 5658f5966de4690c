"""Presentations: shapes by position, tables, notes, charts; pages are slides."""

import io
from pathlib import Path

import pytest
from office_files import compound, zipped

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats.presentation import pptx
from mmgen.ingest.records import LEFT_OUT, PARTIAL

PATH = Path("a.pptx")


def saved(presentation: object) -> bytes:
    presentation.save(buffer := io.BytesIO())  # type: ignore[attr-defined]
    return buffer.getvalue()


def test_slides() -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    made = Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Harbour"
    slide.placeholders[1].text = "First\nSecond"
    table = slide.shapes.add_table(3, 2, 0, Inches(5), Inches(4), Inches(1)).table
    for row, line in enumerate([("Day", "Berth"), ("3 May", "Pier 4"), ("6 May", "Pier 11")]):
        for column, text in enumerate(line):
            table.cell(row, column).text = text
    table.cell(1, 1).merge(table.cell(2, 1))
    table.cell(1, 1).text = "Pier 4"
    slide.notes_slide.notes_text_frame.text = "Say hello"
    hidden = made.slides.add_slide(made.slide_layouts[6])
    hidden.shapes.add_textbox(0, 0, 1, 1).text_frame.text = "secret"
    hidden._element.set("show", "0")
    slide = made.slides.add_slide(made.slide_layouts[6])
    slide.shapes.add_textbox(0, Inches(3), 1, 1).text_frame.text = "below"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(4), Inches(1), 1, 1).text_frame.text = "right"
    group.shapes.add_textbox(Inches(1), Inches(1), 1, 1).text_frame.text = "left"
    values = CategoryChartData()
    values.categories = ["Q1", "Q2"]
    values.add_series("Sales", (1.5, 2))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, Inches(4), Inches(3), Inches(2), values).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Year"
    text, pages, metadata = pptx(PATH, saved(made))
    first = "# Harbour\n\nFirst\nSecond\n\nDay: 3 May\nBerth: Pier 4\n\nDay: 6 May\nBerth: Pier 4\n\nNotes: Say hello"
    assert text == f"{first}\n\nleft\n\nright\n\nbelow\n\nYear\n\ncategory: Q1\nSales: 1.5\n\ncategory: Q2\nSales: 2"
    assert [text[at : at + 4] for at in pages] == ["# Ha", "left", "left"] and metadata == {PARTIAL: "1 hidden slides (2)"}


def test_numbered_lines_and_what_is_not_read() -> None:
    from pptx import Presentation

    made = Presentation()
    frame = made.slides.add_slide(made.slide_layouts[6]).shapes.add_textbox(0, 0, 1, 1).text_frame
    frame.text = "a\nb\nc\nd"
    kinds = ("arabicPeriod", "arabicPeriod", "alphaLcParenR", "romanUcParenBoth")
    for paragraph, kind, level in zip(frame.paragraphs, kinds, (0, 0, 1, 2), strict=True):
        paragraph.level = level
        about = paragraph._p.get_or_add_pPr()
        about.append(about.makeelement("{http://schemas.openxmlformats.org/drawingml/2006/main}buAutoNum", {"type": kind}))
    picture = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (2, 2)).save(picture, "png")
    made.slides[0].shapes.add_picture(picture, 0, 0)
    text, _, metadata = pptx(PATH, saved(made))
    assert text == "1. a\n2. b\na) c\n(I) d" and metadata == {LEFT_OUT: "1 pictures"}


def test_a_damaged_slide_costs_itself_alone() -> None:
    p = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    r = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    from office_files import relations

    a = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    shape = "<p:sp><p:txBody><a:p><a:r><a:t>Text.</a:t></a:r></a:p></p:txBody></p:sp>"
    parts = {
        "ppt/presentation.xml": f'<p:presentation {p} {r}><p:sldId r:id="a"/><p:sldId r:id="b"/></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations({"a": ("slide", "1.xml"), "b": ("slide", "2.xml")}),
        "ppt/1.xml": "<broken",
        "ppt/2.xml": f"<p:sld {p} {a}><p:cSld><p:spTree>{shape}</p:spTree></p:cSld></p:sld>",
    }
    text, pages, metadata = pptx(PATH, zipped(parts))
    assert (text, pages) == ("Text.", (0, 0)) and metadata[PARTIAL].startswith("slide 1, which a damaged pptx")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (compound({"PowerPoint Document": b"x"}), r"is an old PowerPoint file \(.ppt\); save it as pptx"),
        (compound({"EncryptedPackage": b"x"}), "is encrypted"),
        (zipped({"word/document.xml": "<x/>"}), "is no pptx but docx by its content"),
        (b"PK\x03\x04 cut", "is a damaged pptx"),
        (zipped({"ppt/presentation.xml": "<!DOCTYPE x><x/>"}), "declares a document type"),
    ],
)
def test_bad_input_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        pptx(PATH, data)
