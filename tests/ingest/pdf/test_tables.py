"""Rows carry the names of their columns, in drawn tables and in aligned ones."""

from pdf_files import Draw, both, lines, pdf_of, row_by_row
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf import extract
from mmgen.ingest.pdf.recognition import Recognition

ROWS = [("Harbour", "Chests", "Crowns"), ("Aarhus", "1,742", "12,194"), ("Bergen", "310", "2,170"), ("Hull", "95", "665")]
WRITTEN = (
    "Harbour: Aarhus\nChests: 1,742\nCrowns: 12,194\n\nHarbour: Bergen\nChests: 310\nCrowns: 2,170\n\n"
    "Harbour: Hull\nChests: 95\nCrowns: 665"
)


def text_of(*pages: Draw) -> str:
    return extract.read(pdf_of(*pages), Recognition(None))[0]


def grid(xs: tuple[float, ...], ys: tuple[float, ...]) -> Draw:
    return lambda canvas: canvas.grid(list(xs), list(ys))


def table(rows: list[tuple[str, ...]], y: float = 700) -> Draw:
    return row_by_row(*map(list, zip(*rows, strict=True)), xs=(80, 200, 300), y=y, step=20)


def test_a_drawn_table() -> None:
    drawn = both(grid((70, 190, 290, 390), (715, 695, 675, 655, 635)), table(ROWS))
    assert text_of(both(lines("What was shipped in the year."), drawn)) == f"What was shipped in the year.\n\n{WRITTEN}"


def test_a_drawn_table_with_cells_that_span() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.grid([70, 190, 290, 390], [695, 675, 655])
        canvas.rect(70, 695, 320, 20)
        canvas.line(190, 695, 190, 715)
        for x, y, text in [(80, 700, "Harbour"), (200, 700, "In 2024"), (200, 680, "Chests"), (300, 680, "Crowns"),
                           (80, 660, "Aarhus"), (200, 660, "1,742"), (300, 660, "12,194")]:  # fmt: skip
            canvas.drawString(x, y, text)

    assert text_of(draw) == "Harbour: Aarhus\nIn 2024 Chests: 1,742\nIn 2024 Crowns: 12,194"


def test_cells_of_several_lines() -> None:
    def draw(canvas: Canvas) -> None:
        canvas.grid([70, 190, 400, 500], [720, 700, 660])
        for x, y, text in [(80, 706, "Tea"), (200, 706, "Taste"), (410, 706, "Origin"), (80, 680, "Sencha"),
                           (200, 686, "fresh, a little"), (200, 671, "like grass"), (410, 680, "Japan")]:  # fmt: skip
            canvas.drawString(x, y, text)

    assert text_of(draw) == "Tea: Sencha\nTaste: fresh, a little like grass\nOrigin: Japan"


def test_an_aligned_table_of_figures() -> None:
    assert text_of(table(ROWS)) == WRITTEN


def test_a_table_goes_on_on_the_next_page() -> None:
    found = text_of(table(ROWS[:3], y=160), table([ROWS[3], ("Leith", "7", "49")]))
    assert found.endswith("Harbour: Hull\nChests: 95\nCrowns: 665\n\nHarbour: Leith\nChests: 7\nCrowns: 49")


def test_labels_and_their_values_are_one_line_each() -> None:
    pairs = row_by_row(["Office:", "Telephone:", "Open:"], ["12 Mill Lane", "+45 12 34", "on Thursdays"], xs=(72, 200))
    assert text_of(pairs) == "Office: 12 Mill Lane\nTelephone: +45 12 34\nOpen: on Thursdays"


def test_options_and_what_they_do_stay_together() -> None:
    pairs = row_by_row(["-s", "-v"], ["be strict", "tell the version"], xs=(72, 200))
    assert text_of(pairs) == "-s | be strict\n-v | tell the version"
