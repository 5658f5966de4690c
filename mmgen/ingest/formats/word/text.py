"""The text of one part of a Word document, read in one pass: paragraphs, tables, text boxes, fields, equations, notes.

Elements are freed as soon as they are read: memory grows with the text, not with the number of elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmgen.ingest.formats.equations import omml
from mmgen.ingest.formats.office_names import child, name, tags, value
from mmgen.ingest.formats.package import Package, forget
from mmgen.ingest.formats.word import tables
from mmgen.ingest.formats.word.context import WordContext
from mmgen.ingest.formats.word.notes import NOTES
from mmgen.ingest.formats.word.open_elements import OpenContainer, OpenParagraph
from mmgen.ingest.formats.word.runs import WordRuns
from mmgen.ingest.formats.word.styles import BODY, WordStyle

if TYPE_CHECKING:
    from lxml.etree import _Element

CONTAINERS = frozenset({"w:tbl", "w:tr", "w:tc", "w:txbxContent", *(f"w:{kind}" for kind in NOTES)})
KINDS = {
    tag: kind
    for kind in ("w:p", "w:r", "m:oMath", "mc:Fallback", "w:sectPr", "w:altChunk", *sorted(CONTAINERS))
    for tag in tags(kind)
}
TAGS = tuple(KINDS)
GONE = frozenset({"w:del", "w:moveFrom", "w:sectPrChange"})


class WordText:
    """Reads one part; finished blocks are given to `deliver`."""

    def __init__(self, package: Package, part: str, context: WordContext, deliver: Callable[..., None]) -> None:
        self.package, self.part, self.context, self.deliver = package, part, context, deliver
        self.root = OpenContainer()
        self.open: list[OpenContainer] = [self.root]
        self.paragraphs: list[tuple[OpenParagraph, int]] = []  # with how many containers were open
        self.runs = WordRuns(part, context)
        self.fallbacks = 0
        self.sections: list[_Element] = []  # `w:sectPr`, in order

    def read(self) -> None:
        """Raises Unreadable where the part is damaged; what came before was delivered. OutputFull by `deliver`."""
        paragraphs = self.paragraphs
        for event, node in self.package.elements(self.part, TAGS, ("start", "end")):
            kind = KINDS[node.tag]
            if kind == "w:p":
                if event == "start":
                    paragraphs.append((OpenParagraph(node), len(self.open)))
                else:
                    paragraph = paragraphs.pop()[0]
                    if paragraph.parts or paragraph.after or len(node) or paragraph.looked or self.open[-1].carried:
                        self._paragraph(paragraph)
                    self._forget(node, self.open[-1])
            elif kind == "w:r":
                if paragraphs and paragraphs[-1][1] == len(self.open):
                    self._run_event(event, node, paragraphs[-1][0])
            elif kind in CONTAINERS:
                if event == "start":
                    self.open.append(OpenContainer(kind, node, self.fallbacks > 0))
                else:
                    self._close(self.open.pop())
                    if not paragraphs or paragraphs[-1][1] <= len(self.open):
                        self._forget(node, self.open[-1])
            elif kind == "mc:Fallback":
                self.fallbacks += 1 if event == "start" else -1
            elif event == "end":
                self._other(kind, node)
        self._into(self.root, ["".join(self.root.carried)])

    def _forget(self, node: _Element, inside: OpenParagraph | OpenContainer) -> None:
        """Frees an element that was read, after the properties of what it stands in were kept: they come before it."""
        if not inside.looked:
            self._look(inside)
        forget(node)

    def _look(self, inside: OpenParagraph | OpenContainer) -> None:
        inside.looked = True
        if inside.node is not None and len(inside.node) and name(inside.node[0]).endswith("Pr"):
            inside.properties = inside.node[0]

    def _run_event(self, event: str, node: _Element, paragraph: OpenParagraph) -> None:
        if event == "start":
            paragraph.runs += 1
            return
        paragraph.runs -= 1
        if paragraph.runs == 0:
            if len(node) and not self._gone(node):
                self.runs.add(paragraph, node)
            self._forget(node, paragraph)

    def _gone(self, node: _Element) -> bool:
        """Whether it stands in what was deleted or moved away, within its paragraph."""
        for above in node.iterancestors():
            kind = name(above)
            if kind in GONE:
                return True
            if kind in ("w:p", "w:body"):
                return False
        return False

    def _other(self, kind: str, node: _Element) -> None:
        if kind == "m:oMath" and self.paragraphs:
            paragraph, above = self.paragraphs[-1][0], node.getparent()
            if not self._gone(node) and self.runs.fields.shown:
                displayed = above is not None and name(above) == "m:oMathPara"
                paragraph.parts += ["\n" if displayed and paragraph.parts else "", omml(node)]
            self._forget(node, paragraph)
        elif kind == "w:sectPr" and not self._gone(node):
            self.sections.append(node)
        elif kind == "w:altChunk":
            self.context.builder.miss("{} embedded documents")

    def _paragraph(self, paragraph: OpenParagraph) -> None:
        if not paragraph.looked:
            self._look(paragraph)
        inside, about = self.open[-1], paragraph.properties
        text = "".join([*inside.carried, *paragraph.parts])
        if child(about, "w:rPr", "w:del") is not None or child(about, "w:rPr", "w:moveFrom") is not None:
            inside.carried = [text] if text else []
            self._into(inside, paragraph.after)
            return
        inside.carried = []
        styles = self.context.styles
        style_name = value(about, "w:pStyle") or styles.default
        style = WordStyle.of(about).over(styles.get(style_name))
        label = self._label(style, style_name)
        text = f"{label} {text.strip()}" if label and text.strip() else text.strip(" \n")
        if style.level is not None and style.level < BODY and text.strip() and inside.kind in ("", "w:txbxContent"):
            text = f"{'#' * min(style.level + 1, 6)} {' '.join(text.split())}"
        if text.strip():
            inside.bold = inside.bold and (paragraph.bold or bool(style.bold))
        self._into(inside, [text, *paragraph.after])

    def _label(self, style: WordStyle, style_name: str) -> str:
        if style.list in (None, "0"):
            return ""
        numbering = self.context.numbering
        depth = style.depth
        if depth is None:
            depth = numbering.of_style(style.list or "", self.context.styles.numbered(style_name)) or 0
        return numbering.label(style.list or "", depth)

    def _into(self, inside: OpenContainer, blocks: Sequence[str]) -> None:
        if inside is self.root:
            self.deliver(*blocks)
        else:
            inside.parts += [block for block in blocks if block.strip()]

    def _close(self, done: OpenContainer) -> None:
        """A table, row, cell, text box or note ends."""
        if done.carried:
            done.parts.append("".join(done.carried))
        if not done.looked:
            self._look(done)
        inside = self.open[-1]
        if done.kind == "w:tc" and inside.kind == "w:tr":
            tables.add_cell(done, inside, self.open[-2].above)
        elif done.kind == "w:tr" and inside.kind == "w:tbl":
            tables.add_row(done, inside)
        elif done.kind == "w:tbl":
            self._into(inside, list(tables.blocks(done)))
        elif done.kind == "w:txbxContent" and self.paragraphs:
            outer = self.paragraphs[-1][0]
            twice = done.fallback and not set(outer.after).isdisjoint(done.parts)
            if not twice and not self._gone(done.node):
                outer.after += done.parts
        elif (kind := done.kind.removeprefix("w:")) in NOTES:
            self.context.notes.keep(kind, done.node, done.parts)
        else:
            self._into(inside, done.parts)
