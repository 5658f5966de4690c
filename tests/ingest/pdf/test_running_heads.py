"""What repeats on every page is read once, and told."""

from pdf_files import Draw, both, lines, pdf_of

from mmgen.ingest.pdf import extract
from mmgen.ingest.pdf.recognition import Recognition

BODY = "The harbour received chests of tea that day, more than in all of the year before"


def read(*pages: Draw) -> tuple[str, str]:
    text, _, metadata, _ = extract.read(pdf_of(*pages), Recognition(None))
    return text, metadata.get("left_out", "")


def page(head: str, number: str, body: str = BODY) -> Draw:
    return both(lines(head, y=810), lines(f"{body} {number}.", y=700), lines(number, x=290, y=30))


def test_a_head_is_kept_once_and_page_numbers_go() -> None:
    text, told = read(*(page("Report on tea", str(n)) for n in (11, 12, 13, 14)))
    assert text.count("Report on tea") == 1 and text.count(BODY) == 4
    assert told == '"Report on tea" on 4 pages; the numbers of 4 pages'
    assert text.count("\n") == 2 * 4


def test_heads_with_the_page_number_beside_them() -> None:
    text, told = read(*(page(f"Chapter {1 + n // 3}: Tea {n + 5}", f"Page {n + 5} of 9") for n in range(5)))
    assert text.count("Chapter") == 1 and "the numbers of 5 pages" in told


def test_what_differs_or_stands_in_the_middle_is_no_head() -> None:
    different = [
        both(lines(f"The {word} day of the voyage", y=810), lines(BODY, y=400)) for word in ("first", "second", "third")
    ]
    text, told = read(*different)
    assert text.count("day of the voyage") == 3 and text.count(BODY) == 3 and told == ""


def test_two_pages_alike_lose_nothing() -> None:
    text, told = read(page("Invoice", "a"), page("Invoice", "b"))
    assert text.count("Invoice") == 2 and told == ""
