"""Lines of tables, however they are drawn."""

import pytest
from pdf_files import both, pdf_of, words_of_page
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf import rulings


def test_lines_rectangles_and_thin_bars() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 800, "x")
        canvas.line(100, 700, 300, 700)
        canvas.rect(100, 500, 50, 40)
        canvas.rect(100, 400, 200, 1, stroke=0, fill=1)
        canvas.circle(300, 300, 40)

    found = words_of_page(pdf_of(draw)).rules
    level = {(round(x0), round(y0)) for x0, y0, x1, y1 in found if x1 - x0 > y1 - y0}
    upright = {round(x0) for x0, y0, x1, y1 in found if x1 - x0 < y1 - y0}
    assert len(found) == 6 and {(100, 302), (100, 342)} <= level and upright == {100, 150}
    assert any(abs(y0 - 142) < 2 for _, y0 in level) and any(abs(y0 - 441) < 2 for _, y0 in level)


@pytest.mark.parametrize("limit", ["MOST_OBJECTS", "MOST_RULES"])
def test_a_drawing_has_no_rules(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(rulings, limit, 3)
    drawing = both(*(lambda canvas, n=n: canvas.line(n, 0, n, 100) for n in range(9)))
    assert words_of_page(pdf_of(drawing)).rules == []
