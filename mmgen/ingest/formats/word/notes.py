"""Footnotes, endnotes and comments of a Word document: read before its text, and shown where it refers to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmgen.ingest.formats.numerals import roman
from mmgen.ingest.formats.office_names import attribute
from mmgen.ingest.formats.text_builder import TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element

NOTES = ("footnote", "endnote", "comment")


class WordNotes:
    """Their texts by kind and id, and the numbers they were given so far."""

    def __init__(self, builder: TextBuilder, comments: bool = False) -> None:
        self.builder = builder  # is told of notes that are missing
        self.comments = comments  # whether they are shown
        self._texts: dict[tuple[str, str], Sequence[str]] = {}  # paragraphs
        self._marks: dict[str, int] = {}  # of foot- and endnotes so far

    @property
    def hidden(self) -> int:
        """Comments that are not shown."""
        return 0 if self.comments else sum(kind == "comment" for kind, _ in self._texts)

    def keep(self, kind: str, node: _Element | None, paragraphs: Sequence[str]) -> None:
        """The text of a note; separators between text and notes are none."""
        if attribute(node, "w:type") not in ("", "normal") or not paragraphs:
            return
        if kind == "comment":
            author = attribute(node, "w:author") or "unknown"
            paragraphs = [f"[Comment by {author}: {' '.join(' '.join(paragraphs).split())}]"]
        self._texts[kind, attribute(node, "w:id")] = [paragraph.strip() for paragraph in paragraphs]

    def refer(self, kind: str, node: _Element) -> tuple[str, Sequence[str]]:
        """The mark at a reference, and the paragraphs that follow the one it stands in."""
        texts = self._texts.get((kind, attribute(node, "w:id")), ())
        if kind == "comment":
            return "", texts if self.comments else ()
        number = self._marks[kind] = self._marks.get(kind, 0) + 1
        mark = f"[{number}]" if kind == "footnote" else f"[{roman(number)}]"
        if not texts:
            self.builder.miss(f"{{}} {kind}s, which are not in the file")
            return mark, ()
        return mark, [f"{mark} {texts[0]}", *texts[1:]]
