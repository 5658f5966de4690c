"""The text of an OpenDocument file, read in one pass: paragraphs, lists, tables, shapes, notes.

Elements are freed as soon as they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats.numerals import roman
from mmgen.ingest.formats.office_names import attribute, name, number_in, tags
from mmgen.ingest.formats.open_styles import OpenStyles
from mmgen.ingest.formats.package import forget
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.text_builder import TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element

DRAWN = "frame custom-shape rect ellipse circle line polyline polygon path connector caption".split()  # noqa: SIM905
SHAPES = frozenset({f"draw:{kind}" for kind in DRAWN})
CELLS = frozenset({"table:table-cell", "table:covered-table-cell"})
SKIPPED = frozenset({"text:tracked-changes", "office:annotation", "office:forms"})
HOLDERS = "table:table table:table-row text:list text:list-item text:list-header text:note text:section draw:page"
CONTAINERS = SHAPES | CELLS | {*HOLDERS.split(), "presentation:notes"}
KINDS = {
    tag: kind
    for kind in sorted(CONTAINERS | SKIPPED | {"text:p", "text:h", "table:table-header-rows", "office:automatic-styles"})
    for tag in tags(kind)
}
TAGS = tuple(KINDS)
MOST_COLUMNS, MOST_SPACES = 1000, 100
LENGTH = re.compile(r"(-?[\d.]+)(cm|mm|in|pt|px)?")
UNITS = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 0.0353, "px": 0.0265}


@dataclass(slots=True)
class OpenPart:
    """An element whose end is not reached."""

    kind: str
    node: _Element | None = None
    blocks: list[str] = field(default_factory=list)
    rows: list[tuple[bool, list[tuple[TableCell, list[str]]]]] = field(default_factory=list)  # of a table: header, cells
    cells: list[tuple[TableCell, list[str]]] = field(default_factory=list)  # of a row
    column: int = 0  # of a row: where its next cell stands
    spans: dict[int, tuple[int, TableCell]] = field(default_factory=dict)  # of a table: column -> rows left, the cell above
    shapes: list[tuple[tuple[int, float, float], list[str]]] = field(default_factory=list)  # of a slide, with their order
    style: str = ""  # of a list
    counts: list[int] = field(default_factory=list)  # of a list: the numbers of the items it is in, and its own
    labelled: bool = True  # of an item: whether its label is written


@dataclass
class OpenText:
    """Reads events of the parser; finished blocks are given to `deliver`.

    `on_row` gets the rows of a spreadsheet, `on_begin` and `on_end` its sheets or the slides of a presentation.
    """

    styles: OpenStyles
    builder: TextBuilder
    deliver: Callable[..., None]
    objects: Callable[[str], Iterable[str]] = lambda path: ()
    comments: bool = False
    on_row: Callable[[OpenPart, _Element], None] | None = None
    on_begin: Callable[[str, _Element], bool] | None = None  # of a sheet or slide: whether it is shown
    on_end: Callable[[str, OpenPart], None] | None = None
    open: list[OpenPart] = field(default_factory=lambda: [OpenPart("")])
    skipped: int = 0
    headers: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    pending: list[list[str]] = field(default_factory=list)  # of each open paragraph: blocks that follow it

    def read(self, events: Iterable[tuple[str, _Element]]) -> None:
        for event, node in events:
            kind = KINDS[node.tag]
            if kind in SKIPPED or (kind == "text:section" and attribute(node, "text:display") == "none"):
                self._skip(event, kind, node)
            elif kind == "table:table-header-rows":
                self.headers += 1 if event == "start" else -1
            elif kind == "office:automatic-styles":
                if event == "end":
                    self.styles.add(node)
                    node.clear()
            elif self.skipped:
                if event == "start" and kind in ("table:table", "draw:page"):
                    self.skipped += 1
                elif event == "end" and kind in ("table:table", "draw:page"):
                    self.skipped -= 1
                    node.clear()
            elif kind in ("text:p", "text:h"):
                self._paragraph(event, kind, node)
            elif event == "start":
                self._begin(kind, node)
            else:
                self._end(kind, node)

    def _skip(self, event: str, kind: str, node: _Element) -> None:
        if event == "start":
            self.skipped += 1
            return
        self.skipped -= 1
        if kind == "office:annotation" and not self.skipped:
            text = " ".join(" ".join("".join(map(str, p.itertext())) for p in node.iter(*tags("text:p"))).split())
            if self.comments and self.pending:
                self.pending[-1].append(f"[Comment: {text}]")
            else:
                self.builder.leave_out("{} comments")
        tail = node.tail
        node.clear()
        node.tail = tail

    def _begin(self, kind: str, node: _Element) -> None:
        if kind in ("table:table", "draw:page") and self.on_begin and len(self.open) == 1 and not self.on_begin(kind, node):
            self.skipped += 1
            return
        part = OpenPart(kind, node)
        if kind == "text:list":
            outer = next((one for one in reversed(self.open) if one.kind == "text:list"), None)
            part.style = attribute(node, "text:style-name") or (outer.style if outer else "")
            above = list(outer.counts) if outer else []
            begin = self.styles.start(part.style, len(above) + 1) - 1
            if attribute(node, "text:continue-numbering") == "true" or attribute(node, "text:continue-list"):
                begin = (self.styles.used.get(part.style) or [begin])[0]
            part.counts = [*above, begin]
        elif kind == "text:list-item":
            outer = self.open[-1]
            if outer.kind == "text:list":
                start = attribute(node, "text:start-value")
                outer.counts[-1] = number_in(start, 1) if start else outer.counts[-1] + 1
                part.labelled = False
        self.open.append(part)

    def _paragraph(self, event: str, kind: str, node: _Element) -> None:
        if event == "start":
            self.pending.append([])
            return
        after = self.pending.pop()
        if len(node) or node.text or after:
            hidden = attribute(node, "text:style-name") in self.styles.hidden
            text = "" if hidden else "".join(self._inline(node)).strip(" \n")
            level = max(number_in(attribute(node, "text:outline-level"), 1), 1) if kind == "text:h" else 0
            item = self.open[-1]
            if text and level and attribute(node, "text:is-list-header") != "true":
                text = f"{self.styles.heading(min(level, 10))} {text}".strip()
            elif text and not item.labelled:
                item.labelled = True
                listed = self.open[-2]
                self.styles.used[listed.style] = listed.counts[:1]
                text = f"{self.styles.label(listed.style, listed.counts)} {text}".strip()
            if text and level and not any(one.kind in CELLS for one in self.open):
                text = f"{'#' * min(level, 6)} {' '.join(text.split())}"
            self._into([text, *after])
        tail = node.tail
        if node.getparent() is not None and KINDS.get(node.getparent().tag) is None:
            forget(node)
        else:
            node.clear()
            node.tail = tail

    def _into(self, blocks: Iterable[str]) -> None:
        inside = self.open[-1]
        if len(self.open) == 1:
            self.deliver(*blocks)
        else:
            inside.blocks += [block for block in blocks if block.strip()]

    def _end(self, kind: str, node: _Element) -> None:
        part = self.open.pop()
        inside = self.open[-1]
        if kind in CELLS and inside.kind == "table:table-row":
            self._cell(kind, part, inside, node)
            node.clear()
        elif kind == "table:table-row":
            self._row(part, inside, node)
            forget(node)
        elif kind == "table:table":
            blocks = list(_table(part))
            self._into(blocks) if not (self.on_end and len(self.open) == 1) else self.on_end(kind, part)
            node.clear()
        elif kind == "text:note":
            self._note(part, node)
        elif kind in SHAPES:
            self._shape(part, node)
        elif kind == "draw:page" and self.on_end:
            self.on_end(kind, part)
            forget(node)
        elif kind == "presentation:notes":
            texts = [block for _, blocks in part.shapes for block in blocks] + part.blocks
            inside.blocks += ["Notes: " + "\n".join(texts)] if texts else []
            node.clear()
        else:
            self._into(part.blocks)
            if len(self.open) == 1:
                node.clear()

    def _note(self, part: OpenPart, node: _Element) -> None:
        """Its text follows the paragraph; in it stays its mark."""
        kind = attribute(node, "text:note-class") or "footnote"
        number = self.notes[kind] = self.notes.get(kind, 0) + 1
        mark = f"[{number if kind == 'footnote' else roman(number)}]"
        if self.pending and part.blocks:
            self.pending[-1] += [f"{mark} {part.blocks[0]}", *part.blocks[1:]]
        tail = node.tail
        node.clear()
        node.text, node.tail = mark, tail

    def _shape(self, part: OpenPart, node: _Element) -> None:
        inline = []
        for one in node.iter(*tags("draw:object", "draw:image", "draw:object-ole")):
            if name(one) == "draw:object":
                inline += list(self.objects(attribute(one, "xlink:href")))
                break
            if name(one) == "draw:object-ole":
                self.builder.miss("{} embedded objects")
                break
            if not part.blocks:
                self.builder.leave_out("{} pictures")
                break
        tail = node.tail
        x, y = (_length(attribute(node, f"svg:{key}")) for key in "xy")
        title = attribute(node, "presentation:class") == "title"
        node.clear()
        node.tail = tail
        blocks = [*part.blocks, *(inline if not self.pending else ())]
        slide = next((one for one in reversed(self.open) if one.kind in ("draw:page", "presentation:notes")), None)
        if self.pending:
            if len(inline) == 1 and not inline[0].startswith("\n"):
                node.text = inline[0]  # an equation stands in its line
            else:
                self.pending[-1] += inline
            self.pending[-1] += blocks
        elif slide is not None and blocks:
            if title:
                blocks = ["# " + " ".join(" ".join(blocks).split())]
            slide.shapes.append(((0 if title else 1, y // 1.0, x), blocks))
        else:
            self._into(blocks)

    def _cell(self, kind: str, cell: OpenPart, row: OpenPart, node: _Element) -> None:
        repeated = max(1, number_in(attribute(node, "table:number-columns-repeated"), 1))
        width = max(1, min(number_in(attribute(node, "table:number-columns-spanned"), 1), MOST_COLUMNS))
        high = number_in(attribute(node, "table:number-rows-spanned"), 1)
        table = self.open[-2] if len(self.open) > 1 else row
        text = "\n".join(cell.blocks)
        for _ in range(min(repeated, MOST_COLUMNS)):
            if kind == "table:table-cell" and text.strip():
                made = TableCell(text, row.column, width)
                row.cells.append((made, cell.blocks))
                if high > 1:
                    table.spans[row.column] = (high, made)
            elif kind == "table:covered-table-cell" and row.column in table.spans:
                made = table.spans[row.column][1]
                row.cells.append((made, [made.text]))
            elif kind == "table:table-cell" and self.on_row is None:
                row.cells.append((TableCell("", row.column, width), []))
            row.column += 1
            if not text.strip() and row.column > MOST_COLUMNS and self.on_row is None:
                break
        row.column += max(repeated - MOST_COLUMNS, 0)
        if text.strip() and repeated > MOST_COLUMNS:
            self.builder.miss(f"{{}} cells that repeat more than {MOST_COLUMNS:,} times")

    def _row(self, row: OpenPart, table: OpenPart, node: _Element) -> None:
        table.spans = {at: (left - 1, cell) for at, (left, cell) in table.spans.items() if left > 1}
        if self.on_row is not None and len(self.open) == 2:
            self.on_row(row, node)
        elif any(cell.text.strip() for cell, _ in row.cells):
            for _ in range(min(max(1, number_in(attribute(node, "table:number-rows-repeated"), 1)), 100)):
                table.rows.append((self.headers > 0, row.cells))

    def _inline(self, node: _Element) -> Iterator[str]:
        """The text of a paragraph, white space as the standard has it collapsed."""
        if node.text:
            yield re.sub(r"\s+", " ", node.text)
        for one in node:
            kind = name(one)
            if kind == "text:s":
                yield " " * min(number_in(attribute(one, "text:c"), 1), MOST_SPACES)
            elif kind == "text:tab":
                yield "\t"
            elif kind == "text:line-break":
                yield "\n"
            elif kind == "text:ruby-text":
                yield "(" + "".join(self._inline(one)) + ")"
            elif (
                kind in ("text:hidden-text", "office:annotation-end") or attribute(one, "text:style-name") in self.styles.hidden
            ):
                pass
            elif kind:
                yield from self._inline(one)
            if one.tail:
                yield re.sub(r"\s+", " ", one.tail)


def _length(text: str) -> float:
    """In cm."""
    found = LENGTH.fullmatch(text)
    try:
        return float(found[1]) * UNITS[found[2] or "cm"] if found else 0.0
    except ValueError:
        return 0.0


def _table(table: OpenPart) -> Iterator[str]:
    rows = table.rows
    if rows and all(len(cells) == 1 for _, cells in rows):
        for _, cells in rows:
            yield from cells[0][1]
        return
    named = next((at for at, (header, _) in enumerate(rows) if not header), 0)
    yield from table_blocks([[cell for cell, _ in cells] for _, cells in rows], named or None)
