"""The text of one part of a Word document, read in one pass: paragraphs, tables, text boxes, fields, equations, notes.

Elements are freed as soon as they are read: memory grows with the text, not with the number of elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats.equations import omml
from mmgen.ingest.formats.numerals import roman
from mmgen.ingest.formats.office_names import attribute, child, children, is_on, name, number_in, tags, value
from mmgen.ingest.formats.package import Package, forget
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.text_builder import TextBuilder
from mmgen.ingest.formats.word_numbering import WordNumbering
from mmgen.ingest.formats.word_styles import BODY, WordStyle, WordStyles
from mmgen.ingest.formats.word_symbols import symbol

if TYPE_CHECKING:
    from lxml.etree import _Element

CONTAINERS = frozenset({"w:tbl", "w:tr", "w:tc", "w:txbxContent", "w:footnote", "w:endnote", "w:comment"})
KINDS = {
    tag: kind
    for kind in ("w:p", "w:r", "m:oMath", "mc:Fallback", "w:sectPr", "w:altChunk", *sorted(CONTAINERS))
    for tag in tags(kind)
}
TAGS = tuple(KINDS)
GONE = frozenset({"w:del", "w:moveFrom", "w:sectPrChange"})
PLAIN = {"w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-", "w:dayShort": ""}
MOST_COLUMNS = 1000


@dataclass
class WordContext:
    """What all parts of a document share."""

    builder: TextBuilder
    styles: WordStyles = field(default_factory=WordStyles)
    numbering: WordNumbering = field(default_factory=WordNumbering)
    notes: dict[tuple[str, str], Sequence[str]] = field(
        default_factory=dict
    )  # (footnote, endnote or comment; id) -> paragraphs
    marks: dict[str, int] = field(default_factory=dict)  # of foot- and endnotes so far
    comments: bool = False  # whether they are read
    drawing: Callable[[str, _Element], Iterator[str]] = lambda part, node: iter(())  # the texts of charts and diagrams


@dataclass(slots=True)
class OpenParagraph:
    """A paragraph whose end is not reached."""

    node: _Element
    looked: bool = False  # whether its first child was looked at
    properties: _Element | None = None
    parts: list[str] = field(default_factory=list)  # its text
    after: list[str] = field(default_factory=list)  # blocks that follow it: its text boxes and notes
    runs: int = 0  # open ones
    bold: bool = True  # all its text


@dataclass(slots=True)
class OpenContainer:
    """What holds blocks, and is not yet at its end: a table, row, cell, text box or note, or the part itself."""

    kind: str = ""
    node: _Element | None = None
    fallback: bool = False  # a text box's edition for older programs
    looked: bool = False
    properties: _Element | None = None
    parts: list[str] = field(default_factory=list)  # the blocks in it
    carried: list[str] = field(default_factory=list)  # text of paragraphs whose end was deleted
    bold: bool = True
    cells: list[tuple[TableCell, list[str]]] = field(default_factory=list)  # of a row, with their blocks
    rows: list[tuple[bool, bool, list[tuple[TableCell, list[str]]]]] = field(default_factory=list)  # of a table: header, bold
    above: dict[int, str] = field(default_factory=dict)  # of a table: the texts of the last row by column


class WordText:
    """Reads one part; finished blocks are given to `deliver`."""

    def __init__(self, package: Package, part: str, context: WordContext, deliver: Callable[..., None]) -> None:
        self.package, self.part, self.context, self.deliver = package, part, context, deliver
        self.root = OpenContainer()
        self.open: list[OpenContainer] = [self.root]
        self.paragraphs: list[tuple[OpenParagraph, int]] = []  # with how many containers were open
        self.fields: list[bool] = []  # of every field that is open: whether its result has begun
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
                self._run(paragraph, node)
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
            if not self._gone(node) and all(self.fields):
                displayed = above is not None and name(above) == "m:oMathPara"
                paragraph.parts += ["\n" if displayed and paragraph.parts else "", omml(node)]
            self._forget(node, paragraph)
        elif kind == "w:sectPr" and not self._gone(node):
            self.sections.append(node)
        elif kind == "w:altChunk":
            self.context.builder.miss("{} embedded documents")

    def _run(self, paragraph: OpenParagraph, node: _Element) -> None:
        properties = child(node, "w:rPr")
        style = WordStyle.of(None, properties)
        if properties is not None and (character := value(properties, "w:rStyle")):
            style = style.over(self.context.styles.get(character))
        texts = "".join(self._texts(paragraph, node))
        if style.hidden or not texts:
            return
        paragraph.parts.append(texts)
        if texts.strip() and not style.bold:
            paragraph.bold = False

    def _texts(self, paragraph: OpenParagraph, node: _Element) -> Iterator[str]:
        """The pieces of a run; of its text boxes nothing, they were read by themselves."""
        for one in node:
            kind = name(one)
            if kind == "w:fldChar":
                yield from self._field(one)
            elif not all(self.fields):
                continue
            elif kind == "w:t":
                yield one.text or ""
            elif kind in PLAIN:
                yield PLAIN[kind]
            elif kind == "w:sym":
                yield symbol(attribute(one, "w:font"), attribute(one, "w:char"))
            elif kind in ("w:footnoteReference", "w:endnoteReference", "w:commentReference"):
                yield self._note(paragraph, kind.removeprefix("w:").removesuffix("Reference"), one)
            elif kind == "w:ruby":
                base, over = ("".join(t.text or "" for t in one.iter(*tags("w:t")) if _within(t, which)) for which in RUBY)
                yield f"{base}({over})" if over else base
            elif kind in ("w:drawing", "w:pict", "w:object"):
                self._drawing(paragraph, one)
            elif kind == "mc:AlternateContent":
                chosen = child(one, "mc:Choice")
                yield from self._texts(paragraph, chosen if chosen is not None else one)

    def _field(self, node: _Element) -> Iterator[str]:
        """Boxes to tick and lists to choose from show what is chosen; other fields their result."""
        kind = attribute(node, "w:fldCharType")
        if kind == "begin":
            form = child(node, "w:ffData")
            if all(self.fields) and (box := child(form, "w:checkBox")) is not None:
                checked = child(box, "w:checked")
                yield "☒" if is_on(checked if checked is not None else child(box, "w:default")) else "☐"
            if all(self.fields) and (choice := child(form, "w:ddList")) is not None:
                entries = [attribute(entry, "w:val") for entry in children(choice, "w:listEntry")]
                at = number_in(value(choice, "w:result") or value(choice, "w:default"), 0)
                yield entries[at] if 0 <= at < len(entries) else ""
            self.fields.append(False)
        elif kind == "separate" and self.fields:
            self.fields[-1] = True
        elif kind == "end" and self.fields:
            self.fields.pop()

    def _note(self, paragraph: OpenParagraph, kind: str, node: _Element) -> str:
        """The mark of a note; its text follows the paragraph."""
        texts = self.context.notes.get((kind, attribute(node, "w:id")), ())
        if kind == "comment":
            if self.context.comments:
                paragraph.after += texts
            return ""
        number = self.context.marks[kind] = self.context.marks.get(kind, 0) + 1
        mark = f"[{number}]" if kind == "footnote" else f"[{roman(number)}]"
        if texts:
            paragraph.after += [f"{mark} {texts[0]}", *texts[1:]]
        else:
            self.context.builder.miss(f"{{}} {kind}s, which are not in the file")
        return mark

    def _drawing(self, paragraph: OpenParagraph, node: _Element) -> None:
        for part in node.iter(*tags("o:OLEObject")):
            self.context.builder.miss("{} embedded objects", part.get("ProgID", ""))
            return
        paragraph.after += self.context.drawing(self.part, node)
        if any(True for _ in node.iter(*tags("a:blip", "v:imagedata"))):
            self.context.builder.leave_out("{} pictures")

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
            self._cell(done, inside)
        elif done.kind == "w:tr" and inside.kind == "w:tbl":
            self._row(done, inside)
        elif done.kind == "w:tbl":
            self._into(inside, list(_table(done)))
        elif done.kind == "w:txbxContent" and self.paragraphs:
            outer = self.paragraphs[-1][0]
            twice = done.fallback and not set(outer.after).isdisjoint(done.parts)
            if not twice and not self._gone(done.node):
                outer.after += done.parts
        elif done.kind in ("w:footnote", "w:endnote", "w:comment"):
            self._keep_note(done)
        else:
            self._into(inside, done.parts)

    def _keep_note(self, done: OpenContainer) -> None:
        kind = done.kind.removeprefix("w:")
        if attribute(done.node, "w:type") in ("", "normal") and done.parts:
            if kind == "comment":
                author = attribute(done.node, "w:author") or "unknown"
                done.parts = [f"[Comment by {author}: {' '.join(' '.join(done.parts).split())}]"]
            self.context.notes[kind, attribute(done.node, "w:id")] = [part.strip() for part in done.parts]

    def _cell(self, cell: OpenContainer, row: OpenContainer) -> None:
        about = cell.properties
        column = row.cells[-1][0].column + row.cells[-1][0].width if row.cells else 0
        width = max(1, min(number_in(value(about, "w:gridSpan"), 1), MOST_COLUMNS))
        if child(about, "w:cellDel") is not None:
            return
        text = "\n".join(cell.parts)
        merged = child(about, "w:vMerge")
        if merged is not None and attribute(merged, "w:val") in ("", "continue") and len(self.open) > 1:
            text = text if text.strip() else self.open[-2].above.get(column, "")
        row.cells.append((TableCell(text, column, width), cell.parts))
        row.bold = row.bold and (cell.bold or not text.strip())

    def _row(self, row: OpenContainer, table: OpenContainer) -> None:
        if child(row.properties, "w:del") is not None:
            return
        skipped = number_in(value(row.properties, "w:gridBefore"), 0)
        if 0 < skipped < MOST_COLUMNS:
            row.cells = [(TableCell(cell.text, cell.column + skipped, cell.width), parts) for cell, parts in row.cells]
        table.above = {cell.column: cell.text for cell, _ in row.cells}
        filled = any(cell.text.strip() for cell, _ in row.cells)
        if filled:
            table.rows.append((is_on(child(row.properties, "w:tblHeader")), row.bold, row.cells))


RUBY = ("w:rubyBase", "w:rt")


def _within(node: _Element, wanted: str) -> bool:
    return any(name(above) == wanted for above in node.iterancestors())


def _table(table: OpenContainer) -> Iterator[str]:
    """A table of one column only frames its paragraphs. Rows marked as headers, or a bold first one, name the columns."""
    rows = table.rows
    if all(len(cells) == 1 for _, _, cells in rows):
        for _, _, cells in rows:
            yield from cells[0][1]
        return
    headers = next((at for at, (header, _, _) in enumerate(rows) if not header), 0)
    if not headers and len(rows) > 1 and rows[0][1] and not rows[1][1] and len(rows[0][2]) > 1:
        headers = 1
    yield from table_blocks([[cell for cell, _ in cells] for _, _, cells in rows], headers or None)
