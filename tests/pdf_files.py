"""Small PDF files, drawn by reportlab: what the tests of their readers and of page images share."""

import io
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf.document import opened
from mmgen.ingest.pdf.words import PageWords, Word

Draw = Callable[[Canvas], None]
SIZE = (595, 842)
LEFT = ["The museum keeps a collec-", "tion of weather instru-", "ments. Its oldest baro-", "meter was built in 1742",
        "by a clockmaker named", "Jonas Wedel. The price-", "less glass tube survived", "two fires."]  # fmt: skip
RIGHT = ["The garden opens in spring.", "A hygro-", "meter made of horsehair", "hangs in the hall. Entry",
         "is free on Thursdays and", "costs four crowns on all", "other days. Guided tours", "start at eleven."]  # fmt: skip
COLUMNS = (
    "The museum keeps a collection of weather instruments. Its oldest barometer was built in 1742 by a clockmaker named"
    " Jonas Wedel. The priceless glass tube survived two fires.\n\nThe garden opens in spring. A hygrometer made of"
    " horsehair hangs in the hall. Entry is free on Thursdays and costs four crowns on all other days. Guided tours start"
    " at eleven."
)


def pdf_of(*pages: Draw, size: tuple[float, float] = SIZE) -> bytes:
    """A file with one page for every function, which draws it."""
    canvas = Canvas(buffer := io.BytesIO(), pagesize=size, invariant=1)
    for draw in pages:
        canvas.setFont("Helvetica", 11)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def lines(*texts: str, x: float = 72, y: float = 760, step: float = 15) -> Draw:
    """Lines of text, one below the other; `y` counts from the lower edge, as in the file."""

    def draw(canvas: Canvas) -> None:
        for n, text in enumerate(texts):
            canvas.drawString(x, y - step * n, text)

    return draw


def both(*several: Draw) -> Draw:
    def draw(canvas: Canvas) -> None:
        for one in several:
            one(canvas)

    return draw


def row_by_row(*columns: Sequence[str], xs: Sequence[float], y: float = 760, step: float = 15) -> Draw:
    """Columns drawn line by line across the page, as some producers do."""

    def draw(canvas: Canvas) -> None:
        for n in range(max(map(len, columns))):
            for x, column in zip(xs, columns, strict=True):
                if n < len(column):
                    canvas.drawString(x, y - step * n, column[n])

    return draw


def photographed(*texts: str, size: tuple[int, int] = (620, 877), turn: float = 0.0, points: int = 18) -> Image.Image:
    """A photograph of paper with these lines on it."""
    image = Image.new("L", size, 245)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(points)
    for n, text in enumerate(texts):
        pen.text((60, 80 + 2 * points * n), text, font=font, fill=30)
    return image.rotate(turn, fillcolor=245, expand=turn % 90 == 0)


def picture(image: Image.Image) -> Draw:
    """A page that is an image."""

    def draw(canvas: Canvas) -> None:
        canvas.drawImage(ImageReader(image.convert("RGB")), 0, 0, *canvas._pagesize)

    return draw


def words_of_page(data: bytes, number: int = 1) -> PageWords:
    from mmgen.ingest.pdf.extract import _read

    with opened(data) as document:
        return _read(document, number)


def word(text: str, x: float, y: float, width: float = 0, height: float = 10, **more: object) -> Word:
    """A word whose box begins there, 5 points a letter if no width is given."""
    box = (x, y, x + (width or 5 * len(text)), y + height)
    return Word(text, *box, box, **more)  # type: ignore[arg-type]
