"""Runs of a Word document: text of one appearance, with the marks, fields and drawings in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmgen.ingest.formats.office_names import attribute, child, name, tags, value
from mmgen.ingest.formats.word.context import WordContext
from mmgen.ingest.formats.word.fields import OpenFields
from mmgen.ingest.formats.word.notes import NOTES
from mmgen.ingest.formats.word.open_elements import OpenParagraph
from mmgen.ingest.formats.word.styles import WordStyle
from mmgen.ingest.formats.word.symbols import symbol

if TYPE_CHECKING:
    from lxml.etree import _Element

PLAIN = {"w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-", "w:dayShort": ""}
REFERENCES = {f"w:{kind}Reference": kind for kind in NOTES}
RUBY = ("w:rubyBase", "w:rt")


class WordRuns:
    """Adds runs to their paragraphs."""

    def __init__(self, part: str, context: WordContext) -> None:
        self.part, self.context, self.fields = part, context, OpenFields()

    def add(self, paragraph: OpenParagraph, node: _Element) -> None:
        """Nothing of one that is hidden."""
        properties = child(node, "w:rPr")
        style = WordStyle.of(None, properties)
        if properties is not None and (character := value(properties, "w:rStyle")):
            style = style.over(self.context.styles.get(character))
        text = "".join(self._texts(paragraph, node))
        if style.hidden or not text:
            return
        paragraph.parts.append(text)
        if text.strip() and not style.bold:
            paragraph.bold = False

    def _texts(self, paragraph: OpenParagraph, node: _Element) -> Iterator[str]:
        """The pieces of a run; of its text boxes nothing, they were read by themselves."""
        for one in node:
            kind = name(one)
            if kind == "w:fldChar":
                yield from self.fields.read(one)
            elif not self.fields.shown:
                continue
            elif kind == "w:t":
                yield one.text or ""
            elif kind in PLAIN:
                yield PLAIN[kind]
            elif kind == "w:sym":
                yield symbol(attribute(one, "w:font"), attribute(one, "w:char"))
            elif kind in REFERENCES:
                mark, following = self.context.notes.refer(REFERENCES[kind], one)
                paragraph.after += following
                yield mark
            elif kind == "w:ruby":
                base, over = ("".join(t.text or "" for t in one.iter(*tags("w:t")) if _within(t, which)) for which in RUBY)
                yield f"{base}({over})" if over else base
            elif kind in ("w:drawing", "w:pict", "w:object"):
                self._drawing(paragraph, one)
            elif kind == "mc:AlternateContent":
                chosen = child(one, "mc:Choice")
                yield from self._texts(paragraph, chosen if chosen is not None else one)

    def _drawing(self, paragraph: OpenParagraph, node: _Element) -> None:
        for part in node.iter(*tags("o:OLEObject")):
            self.context.builder.miss("{} embedded objects", part.get("ProgID", ""))
            return
        paragraph.after += self.context.drawing(self.part, node)
        if any(True for _ in node.iter(*tags("a:blip", "v:imagedata"))):
            self.context.builder.leave_out("{} pictures")


def _within(node: _Element, wanted: str) -> bool:
    return any(name(above) == wanted for above in node.iterancestors())
