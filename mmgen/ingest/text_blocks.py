"""Splits a document's text into blocks by markdown structure: headings, paragraphs, code and records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Form = Literal["heading", "prose", "code", "record"]
PROSE, RECORDS = frozenset({"text", "pdf"}), frozenset({"csv", "jsonl", "json"})
SHEETS = frozenset({"xlsx", "ods"})
HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*\n?$")
FENCE = re.compile(r"[ \t]*(`{3,}(?=[^`]*$)|~{3,})")
BLANK = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class TextBlock:
    """`text[start:end]`, without white space around it."""

    start: int
    end: int
    form: Form
    level: int = 0  # of a heading, 1 to 6
    title: str = ""  # of a heading


def blocks(text: str, kind: str) -> Iterator[TextBlock]:
    """The blocks of a document of that kind (mmgen.interfaces.Document), in order; only white space lies between them.

    Kinds that are not known here, a plugin's, are taken for markdown.
    """
    if kind in PROSE:
        yield from (TextBlock(a, b, "prose") for a, b in paragraphs(text, 0, len(text)))
    elif kind in RECORDS:
        yield from (TextBlock(a, b, "record") for a, b in paragraphs(text, 0, len(text)))
    elif kind in SHEETS:
        for a, b in paragraphs(text, 0, len(text)):
            heading = HEADING.fullmatch(text, a, b)
            yield TextBlock(a, b, "heading", 1, heading[2]) if heading and heading[1] == "#" else TextBlock(a, b, "record")
    elif kind == "code":
        yield from (TextBlock(a, b, "code") for a, b in definitions(text, 0, len(text)))
    else:
        yield from _markdown(text)


def paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Paragraphs, separated by blank lines."""
    yield from between(text, start, end, [m.span() for m in BLANK.finditer(text, start, end)])


def definitions(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Source code at the blank lines before what is not indented: functions and classes with their bodies."""
    gaps = (m.span() for m in BLANK.finditer(text, start, end))
    yield from between(text, start, end, [(a, b) for a, b in gaps if text[b : b + 1] not in (" ", "\t", "}", ")", "]")])


def lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    yield from between(text, start, end, [m.span() for m in re.compile("\n").finditer(text, start, end)])


def between(text: str, start: int, end: int, gaps: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The trimmed spans between the gaps, without blank ones."""
    for a, b in zip([start, *(b for _, b in gaps)], [*(a for a, _ in gaps), end], strict=True):
        a, b = trimmed(text, a, b)
        if a < b:
            yield a, b


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _markdown(text: str) -> Iterator[TextBlock]:
    fence = ""  # that opened the present listing
    begin = at = _front_matter(text)  # of the present paragraph or listing
    if at:
        yield TextBlock(*trimmed(text, 0, at), "code")

    def flush(form: Form = "prose") -> Iterator[TextBlock]:
        a, b = trimmed(text, begin, at)
        if a < b:
            yield TextBlock(a, b, form)

    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        line = text[at:end]
        marks = FENCE.match(line)
        if fence:
            if marks and marks[1].startswith(fence) and not line[marks.end() :].strip():
                at, fence = end, ""
                yield from flush("code")
                begin = at
        elif marks:
            yield from flush()
            begin, fence = at, marks[1]
        elif found := HEADING.match(line):
            yield from flush()
            yield TextBlock(*trimmed(text, at, end), "heading", len(found[1]), _title(found[2]))
            begin = end
        elif (rule := UNDERLINE.match(line)) and _one_line(text[begin:at]):
            a, b = trimmed(text, begin, at)
            yield TextBlock(a, trimmed(text, at, end)[1], "heading", 1 if "=" in rule[1] else 2, text[a:b])
            begin = end
        elif not line.strip():
            yield from flush()
            begin = end
        at = end
    yield from flush("code" if fence else "prose")


def _title(words: str) -> str:
    """Without the hashes that may close a heading after a space."""
    words = words.strip()
    rest = words.rstrip("#")
    return rest.rstrip() if rest[-1:].isspace() else words


def _front_matter(text: str) -> int:
    """Where a YAML preamble ends; its last `---` would make a heading of the line before."""
    found = re.match(r"---[ \t]*\n(?:\w[\w-]*:.*\n|[ \t-].*\n)*?---[ \t]*(?:\n|$)", text)
    return found.end() if found else 0


def _one_line(paragraph: str) -> bool:
    """Whether an underline below makes it a heading: one line, no item, quotation or row."""
    line = paragraph.strip()
    return bool(line) and "\n" not in line and not re.match(r"[-*+>|]|\d+[.)]", line)
