"""Documents to passages with exact offsets. Knows sentences, headings and code blocks; length is whatever `token_spans` counts."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from mmgen.errors import BadRequest
from mmgen.interfaces import Document, Passage, TokenSpans

HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
FENCE = re.compile(r"[ \t]*(```|~~~)")
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st vs etc e.g i.e eg ie cf al fig figs eq eqs no nos vol vols pp ed eds inc ltd co corp gen col lt capt sgt "
    "rev hon gov sen rep mt ft approx ca c dept est univ jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k u.n a.m p.m ph.d".split()
)
ENDS = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s|$)|[。！？]+[」』”’）]*")


@dataclass(frozen=True)
class Block:
    """A paragraph, a code block, or a heading with what it heads."""

    start: int
    end: int
    heading: str  # the headings above it, joined
    code: bool = False
    title: bool = False  # the block is itself a heading


def split(document: Document, token_spans: TokenSpans, max_tokens: int = 200, overlap: int = 40) -> list[Passage]:
    """Passages of at most `max_tokens`, each `document.text[start:end]` exactly; together they hold every visible character.

    Args:
        document: its text, kind and page offsets.
        token_spans: character ranges of a text's tokens.
        max_tokens: of a passage.
        overlap: at most so many tokens, in whole sentences, stand in two neighbours; never across a heading.
    """
    if max_tokens < 8 or not 0 <= overlap < max_tokens:
        raise BadRequest(f"max_tokens {max_tokens} and overlap {overlap} do not fit; max_tokens is 8 or more, overlap below it")
    text = document.text
    tokens = Tokens(text, token_spans)
    out: list[Passage] = []
    for section in _sections(list(blocks(text, document.kind))):
        units = [unit for block in section for unit in _units(text, block, tokens, max_tokens)]
        for start, end in _pack(units, tokens, max_tokens, overlap):
            page = bisect_right(document.pages, start) if document.pages else None
            out.append(Passage(text[start:end], start, end, page, section[-1].heading))
    return out


class Tokens:
    """Counts a text's tokens between two offsets. The text is tokenised once, in pieces."""

    def __init__(self, text: str, token_spans: TokenSpans, piece: int = 200_000) -> None:
        self.spans: list[tuple[int, int]] = []
        at = 0
        while at < len(text):
            end = min(len(text), at + piece)
            if end < len(text) and (cut := max(text.rfind(" ", at, end), text.rfind("\n", at, end))) > at:
                end = cut
            self.spans += [(at + a, at + b) for a, b in token_spans(text[at:end])]
            at = end
        self.starts = [start for start, _ in self.spans]
        self.ends = [end for _, end in self.spans]

    def count(self, start: int, end: int) -> int:
        """Tokens that overlap `[start, end)`."""
        return max(0, bisect_left(self.starts, end) - bisect_right(self.ends, start))

    def nth_end(self, start: int, count: int) -> int:
        """Where the `count`-th token from `start` on ends."""
        first = bisect_right(self.ends, start)
        return self.ends[min(first + count, len(self.ends)) - 1]


def blocks(text: str, kind: str = "markdown") -> Iterator[Block]:
    """Paragraphs, headings and fenced code, in order; blank lines between them belong to none."""
    path: list[tuple[int, str]] = []
    marked = kind in ("markdown", "html", "docx")
    begin: int | None = None
    at, fence, code = 0, "", kind == "code"
    for line in text.splitlines(keepends=True) if "\n" in text else [text]:
        end = at + len(line)
        opened = FENCE.match(line) if marked else None
        if fence:
            if opened and opened[1] == fence:
                yield Block(at if begin is None else begin, end, _joined(path), code=True)
                begin, fence = None, ""
        elif opened:
            if begin is not None:
                yield Block(begin, at, _joined(path))
            begin, fence = at, opened[1]
        elif marked and (heading := HEADING.match(line)):
            if begin is not None:
                yield Block(begin, at, _joined(path))
                begin = None
            level = len(heading[1])
            path = [*(entry for entry in path if entry[0] < level), (level, heading[2].strip(" #\n"))]
            yield Block(at, end, _joined(path), title=True)
        elif line.strip():
            begin = at if begin is None else begin
        elif begin is not None:
            yield Block(begin, at, _joined(path), code=code)
            begin = None
        at = end
    if begin is not None:
        yield Block(begin, len(text), _joined(path), code=code or bool(fence))


def sentences(text: str) -> list[tuple[int, int]]:
    """Character ranges of the sentences, without gaps: each takes the white space that follows it."""
    cuts = [0]
    for match in ENDS.finditer(text):
        if _ends(text, match):
            end = match.end()
            while end < len(text) and text[end].isspace():
                end += 1
            if end < len(text):
                cuts.append(end)
    cuts += [match.end() for match in re.finditer(r"\n(?=[ \t]*([-*•]|\d+[.)])\s)", text)]  # list items
    cuts = sorted(set(cuts))
    return [(a, b) for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True) if a < b]


def _ends(text: str, match: re.Match[str]) -> bool:
    """Whether a stop ends a sentence: not after an abbreviation or an initial, nor before a small letter."""
    if match[0][0] not in ".…":
        return True
    word = re.search(r"[\w.]*$", text[max(0, match.start() - 24) : match.start()])
    before = word[0].lower() if word else ""
    if before in ABBREVIATIONS or (len(before) == 1 and before.isalpha() and word and word[0].isupper()):
        return False
    after = text[match.end() : match.end() + 8].lstrip()
    return not (after[:1].isalpha() and after[:1].islower())


def _joined(path: list[tuple[int, str]]) -> str:
    return " > ".join(title for _, title in path)


def _sections(every: list[Block]) -> Iterator[list[Block]]:
    """Blocks under one heading; headings with nothing of their own go on into the next section."""
    section: list[Block] = []
    for block in every:
        if block.title and any(not one.title for one in section):
            yield section
            section = []
        elif section and section[-1].heading != block.heading and not section[-1].title:
            yield section
            section = []
        section.append(block)
    if section:
        yield section


def _units(text: str, block: Block, tokens: Tokens, most: int) -> Iterator[tuple[int, int]]:
    """Pieces that a passage takes whole: sentences, or lines of code; longer ones are cut at tokens."""
    body = text[block.start : block.end]
    if block.title:
        ranges = [(0, len(body))]
    elif block.code:
        ranges = [(m.start(), m.end()) for m in re.finditer(r"[^\n]*\n|[^\n]+", body)]
    else:
        ranges = sentences(body)
    for start, end in ranges:
        start, end = _stripped(text, block.start + start, block.start + end)
        while start < end and tokens.count(start, end) > most:
            cut = _cut(text, start, tokens.nth_end(start, most))
            yield _stripped(text, start, cut)
            start, end = _stripped(text, cut, end)
        if start < end:
            yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    """The last clause border or gap before `limit`, unless it lies in the first half."""
    for pattern in (r"[,;:]\s", r"\s"):
        gaps = [m.end() for m in re.finditer(pattern, text[start:limit])]
        if gaps and gaps[-1] > (limit - start) // 2:
            return start + gaps[-1]
    return limit


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _pack(units: list[tuple[int, int]], tokens: Tokens, most: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Units to passages, greedily; the next passage repeats the last units that fit into `overlap`."""
    first = 0
    while first < len(units):
        last = first
        while last + 1 < len(units) and tokens.count(units[first][0], units[last + 1][1]) <= most:
            last += 1
        yield units[first][0], units[last][1]
        if last + 1 == len(units):
            return
        back = last + 1
        while (
            back - 1 > first
            and tokens.count(units[back - 1][0], units[last][1]) <= overlap
            and tokens.count(units[back - 1][0], units[last + 1][1]) <= most
        ):
            back -= 1
        first = back
