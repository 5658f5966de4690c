"""A PDF file as text: pages in reading order, with the place of every word, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import Unreadable, brief
from mmgen.ingest.extraction import progress
from mmgen.ingest.extraction.limits import Extraction
from mmgen.ingest.pdf.document import XFA, Frame, cut_short, opened, page_of, title
from mmgen.ingest.pdf.fields import fields_of, with_fields
from mmgen.ingest.pdf.flow import flow
from mmgen.ingest.pdf.pages_text import PagesText
from mmgen.ingest.pdf.recognition import Alive, KeptPages, Recognition, recognized_words
from mmgen.ingest.pdf.render import ink, is_photograph
from mmgen.ingest.pdf.rulings import rules_of
from mmgen.ingest.pdf.running_heads import without_running_heads
from mmgen.ingest.pdf.words import PageWords, useless, words_of
from mmgen.ingest.records import LEFT_OUT, PARTIAL

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

    from mmgen.ingest.pdf.tables import PageTable

AT_ONCE = 256  # pages whose repeated lines are looked for together
FEW = 40  # characters: a page with fewer may be a picture with a stamp
INK = 0.001  # share of a page's area that is drawn on, from which on it is not blank
MOST_CHARACTERS = 50_000_000


def pdf(path: Path, data: bytes, ocr: bool = True, keep: str = "") -> Extraction:
    """The text of all pages, the offsets where they begin, metadata, and where the words stand.

    Args:
        path: unused, as all loaders take it.
        data: the file.
        ocr: whether pages that are pictures are recognised, where rapidocr is installed.
        keep: a folder in which recognised pages wait until the document is stored, so that a run that ends early costs little.

    Raises:
        Unreadable: encrypted, beyond repair, or without any text.
    """
    return read(data, Recognition.installed(off=not ocr, folder=Path(keep) if keep else None))


def read(data: bytes, recognition: Recognition) -> Extraction:
    """See `pdf`."""
    with opened(data) as document:
        text = PagesText()
        told = _Told()
        told.whole += ["the file is cut short, so that pages may be missing"] if cut_short(data) else []
        told.whole += ["its form is XFA, which only Adobe's programs show"] if document.get_formtype() == XFA else []
        told.whole += _attachments(document)
        last: PageTable | None = None
        for pages in _chunks(document, recognition, data, told):
            told.heads += without_running_heads(pages)
            for page in pages:
                words, last = flow(page, last)
                text.take(page, words)
            if text.characters > MOST_CHARACTERS and pages[-1].number < len(document):
                told.whole.append(f"pages after {pages[-1].number} of {len(document)}: the text is too long; split the file")
                break
        metadata: dict[str, Any] = {"title": named} if (named := title(document)) else {}
    written, starts, layouts = text.written()
    if not written.strip():
        raise Unreadable(_without_text(told, len(starts), recognition))
    if missing := told.missing(recognition):
        metadata[PARTIAL] = missing
    if told.heads:
        metadata[LEFT_OUT] = "; ".join(dict.fromkeys(told.heads))
    if told.recognized:
        metadata["recognized_pages"] = numbers(told.recognized)
    return written, starts, metadata, layouts


@dataclass
class _Told:
    """What is to be said of a file."""

    whole: list[str] = field(default_factory=list)  # of the file
    pages: list[tuple[int, str]] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)  # pages that nobody read
    recognized: list[int] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def missing(self, recognition: Recognition) -> str:
        out = list(self.whole)
        if self.pictures:
            verb = "is a picture" if len(self.pictures) == 1 else "are pictures"
            out.append(f"{numbers(self.pictures)} {verb}{recognition.remedy(len(self.pictures))}")
        reasons = dict.fromkeys(reason for _, reason in self.pages)
        out += [f"{reason} ({numbers([page for page, why in self.pages if why == reason])})" for reason in reasons]
        return "; ".join(out)


def _chunks(document: PdfDocument, recognition: Recognition, data: bytes, told: _Told) -> Iterator[list[PageWords]]:
    pages: list[PageWords] = []
    of = len(document)
    kept = recognition.kept(data)
    for number in range(1, of + 1):
        progress.tell(number - 1, of)
        try:
            page = _read(document, number)
            if page.picture:
                _recognize(document, page, recognition, kept, told, lambda: progress.tell(number - 1, of))  # noqa: B023
            told.pages += [(number, reason) for reason in page.told]
        except Unreadable as why:
            told.pages.append((number, str(why).replace(f"page {number} ", "", 1)))
            page = PageWords(number, Frame(1, 1, 0, 0, 1, 1, 0))
        pages.append(page)
        if len(pages) == AT_ONCE or number == of:
            yield pages
            pages = []


def _read(document: PdfDocument, number: int) -> PageWords:
    with page_of(document, number) as page:
        found = PageWords(number, Frame.of(page))
        words = words_of(page, found.frame, found.told)
        if useless(words):
            words = []
        found.words = with_fields(words, fields_of(document, page, found.frame, found.told))
        found.rules = rules_of(page, found.frame)
        if sum(len(word.text) for word in found.words) < FEW:
            found.picture = is_photograph(page, found.frame) if found.words else ink(document, page, found.frame) > INK
        return found


def _recognize(
    document: PdfDocument, page: PageWords, recognition: Recognition, kept: KeptPages | None, told: _Told, alive: Alive
) -> None:
    """Adds to a picture's words those that the recogniser reads."""
    if not recognition.ready():
        told.pictures.append(page.number)
        return
    found, reasons = recognized_words(document, page, recognition, kept, alive)
    page.told += reasons
    if found:
        page.recognized = True
        told.recognized.append(page.number)
        page.words += found
    elif not reasons:
        page.told.append("a picture in which no text was found")


def numbers(pages: Iterable[int]) -> str:
    """page 3; pages 2-4, 9"""
    runs: list[list[int]] = []
    for page in sorted(set(pages)):
        if runs and page == runs[-1][-1] + 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    shown = ", ".join("-".join(map(str, run)) for run in runs)
    return f"page {shown}" if len(runs) == 1 and len(runs[0]) == 1 else f"pages {shown}"


def _attachments(document: PdfDocument) -> list[str]:
    try:
        count = document.count_attachments()
        names = [document.get_attachment(n).get_name() for n in range(min(count, 3))]
    except Exception as why:  # pypdfium2 has no error of its own for a damaged list of them
        return [f"its attached files ({brief(why)})"]
    return [f"{count} attached file{'s' if count > 1 else ''} ({', '.join(names)})"] if count else []


def _without_text(told: _Told, pages: int, recognition: Recognition) -> str:
    if told.pictures:
        return f"has {pages} page{'s' if pages > 1 else ''} and no text: {told.missing(recognition)}"
    reasons = "; ".join(dict.fromkeys([*told.whole, *(reason for _, reason in told.pages)]))
    return f"has {pages} page{'s' if pages > 1 else ''} and no text" + (f": {reasons}" if reasons else "; its pages are blank")
