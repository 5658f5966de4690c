"""Splits documents into passages with exact character offsets; lengths are counted by the given `token_spans`."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from mmgen.errors import BadRequest
from mmgen.ingest.sentences import sentences
from mmgen.ingest.text_blocks import TextBlock, blocks, lines, paragraphs, trimmed
from mmgen.interfaces import Document, Passage, TokenSpans

SMALL = 25
"""Tokens below which the last passage under a heading takes sentences from the one before."""


@dataclass(frozen=True)
class SplitUnit:
    """An indivisible unit of a passage: a sentence, a heading, a piece of code, a record."""

    start: int
    end: int
    block: TextBlock
    sentence: bool = False  # a whole one: it may stand in two neighbouring passages


@dataclass
class Section:
    """The text under one heading, including the heading line."""

    heading: str  # the path, joined by " > "
    units: list[SplitUnit]

    def has_body(self) -> bool:
        return bool(self.units) and self.units[-1].block.form != "heading"


def split(document: Document, token_spans: TokenSpans, max_tokens: int = 200, overlap: int = 40) -> list[Passage]:
    """Passages of at most `max_tokens`, each `document.text[start:end]` exactly; together they hold every visible character.

    Args:
        document: its text, kind and page offsets.
        token_spans: character ranges of a text's tokens; asked once for every part of the text.
        max_tokens: of a passage, 8 or more.
        overlap: at most so many tokens, in whole sentences, stand in two neighbours; never across a heading.

    Raises:
        BadRequest: the two numbers do not fit together.
    """
    if max_tokens < 8 or not 0 <= overlap < max_tokens:
        raise BadRequest(f"max_tokens {max_tokens} and overlap {overlap} do not fit; max_tokens is 8 or more, overlap below it")
    text = document.text
    packer = Packer(text, TokenCounter(text, token_spans), max_tokens, overlap)
    out = []
    for section in packer.sections(document.kind):
        for units in packer.pack(section):
            start, end = units[0].start, units[-1].end
            page = bisect_right(document.pages, start) if document.pages else None
            out.append(Passage(text[start:end], start, end, page, section.heading))
    return out


class TokenCounter:
    """Counts a text's tokens between two offsets. The text is tokenised once, in parts that end at white space."""

    def __init__(self, text: str, token_spans: TokenSpans, part: int = 100_000) -> None:
        self.starts, self.ends = array("q"), array("q")
        at = 0
        while at < len(text):
            end = min(len(text), at + part)
            if end < len(text) and (cut := max(text.rfind(" ", at, end), text.rfind("\n", at, end))) > at:
                end = cut
            for a, b in token_spans(text[at:end]):
                self.starts.append(at + a)
                self.ends.append(at + b)
            at = end

    def count(self, start: int, end: int) -> int:
        """Tokens that overlap `[start, end)`."""
        return max(0, bisect_left(self.starts, end) - bisect_right(self.ends, start))

    def after(self, start: int, count: int) -> int:
        """The end of the `count`-th token from `start` on."""
        last = bisect_right(self.ends, start) + count - 1
        return self.ends[min(last, len(self.ends) - 1)]


class Packer:
    """Packs units into passages, greedily."""

    def __init__(self, text: str, tokens: TokenCounter, most: int, overlap: int) -> None:
        self.text, self.tokens, self.most, self.overlap = text, tokens, most, overlap

    def sections(self, kind: str) -> Iterator[Section]:
        """Every heading begins one; a heading without a text of its own goes into the section of the next."""
        path: list[TextBlock] = []
        section = Section("", [])
        for block in blocks(self.text, kind):
            if block.form == "heading":
                if section.has_body():
                    yield section
                    section = Section("", [])
                path = [*(one for one in path if one.level < block.level), block]
                section.heading = " > ".join(one.title for one in path)
            section.units += self.units(block, block.start, block.end, self.most)
        if section.units:
            yield section

    def units(self, block: TextBlock, start: int, end: int, limit: int) -> Iterator[SplitUnit]:
        """The units of (a part of) a block, none of more than `limit` tokens; code and records stay whole if they can."""
        if block.form == "prose":
            yield from self.prose(block, start, end, limit)
        elif self.size(start, end) <= limit:
            yield SplitUnit(start, end, block)
        elif block.form == "heading":
            yield from self.cut(block, start, end, limit)
        else:
            for a, b in paragraphs(self.text, start, end):
                if self.size(a, b) <= limit:
                    yield SplitUnit(a, b, block)
                    continue
                for c, d in lines(self.text, a, b):
                    yield from (self.prose if block.form == "record" else self.cut)(block, c, d, limit)

    def prose(self, block: TextBlock, start: int, end: int, limit: int) -> Iterator[SplitUnit]:
        for a, b in sentences(self.text[start:end]):
            a, b = trimmed(self.text, start + a, start + b)
            if a < b and self.size(a, b) <= limit:
                yield SplitUnit(a, b, block, sentence=True)
            elif a < b:
                yield from self.cut(block, a, b, limit)

    def cut(self, block: TextBlock, start: int, end: int, limit: int) -> Iterator[SplitUnit]:
        """Pieces of at most `limit` tokens, cut after a clause or a word where there is one in the second half."""
        while self.size(start, end) > limit:
            stop = self.border(start, max(self.tokens.after(start, limit), start + 1))
            a, b = trimmed(self.text, start, stop)
            if a < b:
                yield SplitUnit(a, b, block)
            start, end = trimmed(self.text, stop, end)
        if start < end:
            yield SplitUnit(start, end, block)

    def border(self, start: int, stop: int) -> int:
        """Where to cut `[start, stop)`: after the last clause in its second half, else at the last space, else at its end."""
        text, space = self.text, 0
        for at in range(stop, (start + stop) // 2, -1):
            spaced = text[at : at + 1].isspace()
            if text[at - 1] in "、，；：" or (spaced and text[at - 1] in ",;:—–)"):
                return at
            space = space or (at if spaced else 0)
        return space or stop

    def pack(self, section: Section) -> list[list[SplitUnit]]:
        """Passages as runs of units; the next run repeats the last sentences that fit into the overlap."""
        todo, runs = deque(section.units), []
        run: list[SplitUnit] = []
        while todo:
            unit = todo.popleft()
            if run and self.size(run[0].start, unit.end) > self.most:
                room = self.most - self.size(run[0].start, unit.start)
                if run[-1].block.form == "heading" != unit.block.form and room >= self.most // 2:
                    pieces = list(self.units(unit.block, unit.start, unit.end, room))
                    if len(pieces) > 1:  # a heading does not stand alone: what follows it is cut to fit
                        todo.extendleft(reversed(pieces))
                        continue
                runs.append(run)
                run = self.repeated(run, unit)
            run.append(unit)
        runs.append(run)
        if len(runs) > 1:
            self.level(runs)
        return runs

    def repeated(self, run: list[SplitUnit], following: SplitUnit) -> list[SplitUnit]:
        """The sentences at the end of a run that the next one begins with."""
        first = len(run)
        while (
            first > 1
            and run[first - 1].sentence
            and self.size(run[first - 1].start, run[-1].end) <= self.overlap
            and self.size(run[first - 1].start, following.end) <= self.most
        ):
            first -= 1
        return run[first:]

    def level(self, runs: list[list[SplitUnit]]) -> None:
        """Moves units from the penultimate run into a last run that is too short to be retrieved alone."""
        before, last = runs[-2], runs[-1]
        while (
            self.size(last[0].start, last[-1].end) < SMALL
            and len(before) > 1
            and self.size(before[-1].start, last[-1].end) <= self.most
            and self.size(before[0].start, before[-2].end) >= SMALL
        ):
            unit = before.pop()
            if unit.start < last[0].start:
                last.insert(0, unit)

    def size(self, start: int, end: int) -> int:
        return self.tokens.count(start, end)
