"""Images of pages: bounded, complete, with the places marked."""

import pytest
from pdf_files import lines, pdf_of
from PIL.Image import Image
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.pdf import render
from mmgen.ingest.pdf.document import Frame, opened, page_of
from mmgen.ingest.pdf.render import drawn, fitting, ink, marked


def image_of(data: bytes, scale: float = 1.0, seconds: float = 5.0) -> Image:
    with opened(data) as document, page_of(document, 1) as page:
        return drawn(document, page, scale, seconds)


def test_a_page_with_a_quote_marked() -> None:
    image = image_of(pdf_of(lines("Mill Lane")), 2.0)
    assert image.size == (1190, 1684) and image.getpixel((10, 10)) == (255, 255, 255)
    out = marked(image, [(72, 70, 120, 86)], 595)
    assert out.getpixel((150, 142)) == render.MARKER and out.getpixel((10, 10)) == (255, 255, 255)
    dark = [out.getpixel((x, y)) for x in range(144, 240) for y in range(145, 170)]
    assert min(sum(pixel) for pixel in dark) < 150, "the letters are seen through the marker"


def test_values_of_forms_are_drawn() -> None:
    def form(canvas: Canvas) -> None:
        canvas.acroForm.textfield(name="a", x=100, y=600, width=300, height=60, value="WWWWWW", fontSize=40)

    area = image_of(pdf_of(form)).crop((105, 190, 395, 235)).convert("L")
    assert area.getextrema()[0] < 100


def test_a_page_of_20_metres_is_a_bounded_image() -> None:
    image = image_of(pdf_of(lines("x"), size=(56_700, 56_700)), 4.0)
    assert image.width * image.height <= 1.01 * render.MOST_PIXELS
    assert max(image_of(pdf_of(lines("x"), size=(14_000, 3)), 4.0).size) <= render.LONGEST_SIDE + 1
    assert fitting(100, 100, 2.0) == 2.0


def test_a_page_that_takes_too_long_is_given_up() -> None:
    def busy(canvas: Canvas) -> None:
        for n in range(3000):
            canvas.line(n % 500, 0, 500 - n % 500, 800)

    with pytest.raises(Unreadable, match="takes more than 0 s to draw"):
        image_of(pdf_of(busy), seconds=0.0)


def test_ink_tells_a_picture_from_a_blank_page() -> None:
    frame = Frame(595, 842, 0, 0, 595, 842, 0)
    for draw, least, most in [(lines(""), 0.0, 0.0), (lambda c: c.rect(0, 0, 595, 421, fill=1), 0.4, 0.6)]:
        with opened(pdf_of(draw)) as document, page_of(document, 1) as page:
            assert least <= ink(document, page, frame) <= most
