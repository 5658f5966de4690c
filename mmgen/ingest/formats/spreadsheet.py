"""Workbooks as text: a heading and a table for each sheet, cells as they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction import progress
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats import drawings, number_formats
from mmgen.ingest.formats.office_names import attribute, child, children, name, number_in, tags
from mmgen.ingest.formats.package import Package, forget
from mmgen.ingest.formats.sheet_table import SheetCell, SheetTable
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element

REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")
MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*?\bref=[\"']([A-Z0-9:]+)[\"']")
MOST_MERGED = 100_000  # merged ranges of a sheet that are looked at
TAIL = 2**24  # bytes of a part, after its rows, in which merged ranges are looked for


@dataclass
class Workbook:
    """What the cells of all sheets refer to."""

    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)  # of a cell's style
    since_1904: bool = False


@dataclass(frozen=True)
class MergedRange:
    """Rows and columns from 1 and from 0, both ends in it."""

    top: int
    left: int
    bottom: int
    right: int


def xlsx(path: Path, data: bytes, comments: bool = False) -> Extracted:
    """Each row becomes lines of `column: value`, its numbers and dates as their formats show them.

    Of formulas the stored results; those without one are told, and so are hidden sheets, which are left out. Rows and columns
    that are hidden or filtered away are read. Text boxes and charts follow the cells.

    Args:
        path: of the file.
        data: its bytes.
        comments: whether comments are read too; else they are told.

    Raises:
        Unreadable: encrypted, damaged, of another format, or a bomb.
    """
    package = Package(data, "xlsx")
    builder = TextBuilder(len(data))
    main = package.related("", "officeDocument") or "xl/workbook.xml"
    root, relations = package.tree(main), package.relations(main)
    workbook = Workbook(since_1904=_true(child(root, "x:workbookPr"), "date1904"))
    try:
        _prepare(package, main, workbook, builder)
        for at, one in enumerate(sheets := list(root.iter(*tags("x:sheet"))), 1):
            progress.tell(at, len(sheets))
            title, part = one.get("name", ""), relations.get(attribute(one, "r:id"), ("", ""))[1]
            if one.get("state", "visible") != "visible":
                builder.miss("{} hidden sheets", title)
                continue
            try:
                _sheet(package, part, title, workbook, builder, comments)
            except Unreadable as why:
                builder.damaged(f"sheet {title} from there on", why)
    except OutputFull:
        pass
    title = package.title()
    return builder.result({"title": title} if title else {})


def _true(node: _Element | None, key: str) -> bool:
    return node is not None and node.get(key) in ("1", "true", "on")


def _prepare(package: Package, main: str, workbook: Workbook, builder: TextBuilder) -> None:
    """Shared strings and number formats; damaged ones are noted."""
    try:
        if part := package.related(main, "sharedStrings"):
            for _, node in package.elements(part, tags("x:si")):
                workbook.strings.append(_rich(node))
                forget(node)
    except Unreadable as why:
        builder.damaged("shared texts from there on", why)
    try:
        if part := package.related(main, "styles"):
            root = package.tree(part)
            own = {one.get("numFmtId", ""): one.get("formatCode", "") for one in root.iter(*tags("x:numFmt"))}
            for one in children(child(root, "x:cellXfs"), "x:xf") if child(root, "x:cellXfs") is not None else ():
                id = one.get("numFmtId", "0")
                workbook.formats.append(own.get(id) or number_formats.BUILT_IN.get(number_in(id, 0), "General"))
    except Unreadable as why:
        builder.damaged("number formats", why)


def _rich(node: _Element) -> str:
    """Without what says how Japanese is read aloud."""
    return "".join(
        part.text or "" for part in node.iter(*tags("x:t")) if (above := part.getparent()) is None or name(above) != "x:rPh"
    )


def _sheet(package: Package, part: str, title: str, workbook: Workbook, builder: TextBuilder, comments: bool) -> None:
    builder.add(f"# {' '.join(title.split())}")
    table = SheetTable(builder.add)
    merged = _merged(package, part)
    active: dict[MergedRange, str] = {}
    number = 0
    rows = package.elements(part, tags("x:row"))
    while (node := _next(rows, table)) is not None:
        number = number_in(node.get("r", ""), number + 1)
        cells = {cell.column: cell for cell in _cells(node, number, title, workbook, builder)}
        forget(node)
        if not cells:
            continue
        active = {one: text for one, text in active.items() if one.bottom >= number}
        for one, text in active.items():
            cells.setdefault(one.left, SheetCell(text, one.left, one.right - one.left + 1))
        for one in merged.pop(number, ()):
            if one.left in cells:
                cell = cells[one.left]
                cells[one.left] = SheetCell(cell.text, one.left, one.right - one.left + 1, cell.data)
                active[one] = cell.text
        table.row(number, [cells[column] for column in sorted(cells)])
    _beside(package, part, builder, comments)


def _next(rows: Iterator[tuple[str, _Element]], table: SheetTable) -> _Element | None:
    """The next row; at the last one, or where the part is damaged, what waits in the table is written."""
    try:
        _, node = next(rows)
    except StopIteration:
        table.end()
        return None
    except Unreadable:
        table.end()
        raise
    return node


def _cells(row: _Element, number: int, title: str, workbook: Workbook, builder: TextBuilder) -> Iterator[SheetCell]:
    """The cells of a row that show something."""
    column = -1
    for node in children(row, "x:c"):
        place = REFERENCE.fullmatch(node.get("r", ""))
        column = _column(place[1]) if place else column + 1
        stored = child(node, "x:v")
        text, kind = (stored.text or "") if stored is not None else "", node.get("t", "n")
        if not text and kind not in ("inlineStr", "str") and child(node, "x:f") is not None:
            builder.miss("the results of {} formulas, which are not stored", f"{title}!{node.get('r') or number}")
            continue
        shown = _shown(node, text, kind, workbook)
        if shown := " ".join(shown.split()):
            yield SheetCell(shown, column, 1, kind in ("n", "d"))


def _shown(node: _Element, text: str, kind: str, workbook: Workbook) -> str:
    style = number_in(node.get("s", ""), 0)
    code = workbook.formats[style] if style < len(workbook.formats) else "General"
    if kind == "s":
        at = number_in(text, -1)
        return workbook.strings[at] if 0 <= at < len(workbook.strings) else "\ufffd"
    if kind == "inlineStr":
        inside = child(node, "x:is")
        return _rich(inside) if inside is not None else ""
    if kind == "b":
        return "TRUE" if text.strip() in ("1", "true") else "FALSE"
    if kind != "n" or not text.strip():
        return text.removesuffix("T00:00:00") if kind == "d" else text
    try:
        value = float(text)
        return number_formats.general(value) if code == "General" else number_formats.shown(value, code, workbook.since_1904)
    except (ValueError, OverflowError, ArithmeticError):
        return text


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number - 1


def _merged(package: Package, part: str) -> dict[int, list[MergedRange]]:
    """Merged ranges by their first row. They stand behind all rows, so that the part is unpacked once more for them."""
    tail, seen = b"", False
    left = package.left
    with package.open(part) as stream:
        stream.counted = False
        while chunk := stream.read(2**20):
            tail += chunk
            end = tail.rfind(b"sheetData>")
            if seen or end >= 0:
                seen, tail = True, tail[max(end, 0) :][:TAIL]
            else:
                tail = tail[-16:]
    package.left = left  # its rows are still to be read
    found: dict[int, list[MergedRange]] = {}
    for match, _ in zip(MERGED.finditer(tail), range(MOST_MERGED), strict=False):
        corners = [REFERENCE.fullmatch(corner) for corner in match[1].decode().split(":")]
        if len(corners) == 2 and corners[0] and corners[1]:
            (left, top), (right, bottom) = ((_column(corner[1]), int(corner[2])) for corner in corners if corner)
            found.setdefault(top, []).append(MergedRange(top, left, bottom, right))
    return found


def _beside(package: Package, part: str, builder: TextBuilder, comments: bool) -> None:
    """Text boxes, charts and comments of a sheet."""
    for kind, target in package.relations(part).values():
        if kind == "drawing":
            root = package.tree(target)
            builder.add(*drawings.paragraphs(root), *drawings.texts(package, target, root, builder))
            if count := sum(1 for _ in root.iter(*tags("xdr:pic"))):
                builder.leave_out("{} pictures", count)
        elif kind == "comments":
            texts = [" ".join(_rich(one).split()) for one in package.tree(target).iter(*tags("x:comment"))]
            if comments:
                builder.add(*(f"[Comment: {text}]" for text in texts))
            elif texts:
                builder.leave_out("{} comments", len(texts))
