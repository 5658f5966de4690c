"""Words of pages as one text: words broken at a line's end are joined, and every word keeps its offsets and its place."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from mmgen.ingest.pdf.flow import BREAK, COLUMN, LINE, NOTHING, PARAGRAPH, SPACE, STOP, FlowWord
from mmgen.ingest.pdf.headings import headings
from mmgen.ingest.pdf.hyphens import BROKEN, Hyphenation
from mmgen.ingest.pdf.words import PageWords
from mmgen.interfaces import PageLayout

UNSPACED = "\u3040\u30ff\u3400\u9fff\uf900\ufaff\uff00\uffef\u3000\u303f"


class PagesText:
    """The text as it grows: words are kept in arrays until the whole document's words can tell which are broken."""

    def __init__(self) -> None:
        self.pages: list[PageWords] = []
        self.words: list[list[str]] = []
        self.before: list[list[str]] = []
        self.places: list[array[float]] = []  # five numbers a word: its box, and the recogniser's confidence
        self.heights: list[array[float]] = []
        self.characters = 0
        self._known: dict[str, str] = {}

    def take(self, page: PageWords, words: Sequence[FlowWord]) -> None:
        self.words.append([self._known.setdefault(word.text, word.text) for word in words])
        self.before.append([word.before for word in words])
        self.places.append(array("f", (value for word in words for value in (*word.box, word.confidence))))
        self.heights.append(array("f", (word.height for word in words)))
        self.pages.append(PageWords(page.number, page.frame))
        self.characters += sum(len(word.text) + 1 for word in words)

    def written(self) -> tuple[str, tuple[int, ...], tuple[PageLayout, ...]]:
        """The text, where its pages begin, and where the words of each stand; headings with the marks of Markdown."""
        hyphenation = Hyphenation(self._unbroken())
        marks = self._mark_headings()
        parts: list[str] = []
        at, last = 0, ""
        starts: list[int] = []
        spans: list[array[int]] = []
        for page, (words, befores) in enumerate(zip(self.words, self.before, strict=True)):
            spans.append(array("q"))
            begin: int | None = None
            for number, (word, before) in enumerate(zip(words, befores, strict=True)):
                parted, cut = _parted(COLUMN if begin is None and before == NOTHING else before, last, word, hyphenation)
                if cut:
                    parts[-1] = parts[-1][:-1]
                    at -= 1
                    next(one for one in reversed(spans) if one)[-1] -= 1
                parts += ((parted if parts else "") + marks.get((page, number), ""), word)
                at += len(parts[-2])
                begin = at if begin is None else begin
                spans[-1].extend((at, at + len(word)))
                at, last = at + len(word), word
            starts.append(at if begin is None else begin)
        for n in range(len(starts) - 1, 0, -1):  # a page that is empty begins where the next one does
            starts[n - 1] = min(starts[n - 1], starts[n])
        return "".join(parts), tuple(starts), tuple(map(self._layout, range(len(spans)), spans))

    def _mark_headings(self) -> dict[tuple[int, int], str]:
        """The marks of headings, by page and first word; each becomes a paragraph on one line."""
        marks = {}
        for (page, first), (last, level) in headings(self.words, self.before, self.heights).items():
            before = self.before[page]
            before[first] = PARAGRAPH
            before[first + 1 : last] = [SPACE if parted == LINE else parted for parted in before[first + 1 : last]]
            if last < len(before):
                before[last] = PARAGRAPH
            marks[page, first] = "#" * level + " "
        return marks

    def _layout(self, index: int, spans: array[int]) -> PageLayout:
        places = np.array(self.places[index], np.float32).reshape(-1, 5)
        page = self.pages[index]
        size = (page.frame.width, page.frame.height)
        return PageLayout.of(page.number, size, np.array(spans, np.int64), places[:, :4], places[:, 4])

    def _unbroken(self) -> Iterator[str]:
        last = ""
        for words in self.words:
            for word in words:
                if not BROKEN.search(word) and not BROKEN.search(last):
                    yield word
                last = word


def _parted(before: str, last: str, word: str, hyphenation: Hyphenation) -> tuple[str, bool]:
    """What stands between two words, and whether the first loses its hyphen."""
    if before not in (BREAK, COLUMN):
        return before, False
    ended = before == COLUMN and (not last or STOP.search(last) is not None or not word[:1].islower())
    if ended:
        return PARAGRAPH, False
    whole = hyphenation.joined(last, word)
    if whole is not None:
        return NOTHING, len(whole) < len(last) + len(word)
    unspaced = _unspaced(last[-1:]) and _unspaced(word[:1])
    return NOTHING if unspaced else SPACE, False


def _unspaced(character: str) -> bool:
    """Whether it belongs to a script whose lines are joined without a space."""
    pairs = zip(UNSPACED[::2], UNSPACED[1::2], strict=True)
    return bool(character) and any(first <= character <= last for first, last in pairs)
