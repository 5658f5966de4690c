"""Opening and closing, what is refused, and coordinates of turned pages."""

import math

import pytest
from pdf_files import lines, pdf_of

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.pdf.document import Frame, cut_short, opened, page_of, title


def test_a_title_and_its_placeholders() -> None:
    def named(canvas: object) -> None:
        canvas.setTitle("On tea")  # type: ignore[attr-defined]

    with opened(pdf_of(named)) as document:
        assert title(document) == "On tea"
    with opened(pdf_of(lines("x"))) as document:
        assert title(document) == "", "reportlab writes 'untitled'"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.4 cut off", "is a damaged pdf (it is cut short)"),
        (b"no such thing", "is a damaged pdf (it does not begin as one)"),
        (b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF", "is a damaged pdf (its structure cannot be repaired)"),
    ],
)
def test_what_is_no_pdf(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as why, opened(data):
        pass
    assert message in str(why.value)


def test_a_page_that_is_not_there() -> None:
    with opened(pdf_of(lines("x"))) as document, pytest.raises(Unreadable, match="page 2 is damaged"), page_of(document, 2):
        pass


def test_a_file_without_its_end() -> None:
    data = pdf_of(lines("x"))
    assert not cut_short(data) and cut_short(data[:-20])


@pytest.mark.parametrize(
    ("rotation", "size", "shown"),
    [
        (0, (200, 100), (10, 70, 20, 80)),
        (90, (100, 200), (20, 10, 30, 20)),
        (180, (200, 100), (180, 20, 190, 30)),
        (270, (100, 200), (70, 180, 80, 190)),
    ],
)
def test_a_place_on_a_turned_page(rotation: int, size: tuple[int, int], shown: tuple[int, ...]) -> None:
    """A rectangle 10 points from the left and 20 from the lower edge of a page of 200 x 100."""
    frame = Frame(*size, 0, 0, 200, 100, rotation)
    assert frame.shown(10, 20, 20, 30) == shown
    assert frame.turned(0) == rotation and frame.turned(math.radians(89)) == (rotation + 90) % 360
