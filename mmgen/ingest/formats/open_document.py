"""OpenDocument as text: letters (odt), spreadsheets (ods) and presentations (odp)."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats.equations import mathml
from mmgen.ingest.formats.office_names import attribute, child, name, number_in, tags
from mmgen.ingest.formats.open_styles import OpenStyles
from mmgen.ingest.formats.open_text import TAGS, OpenPart, OpenText
from mmgen.ingest.formats.package import Package
from mmgen.ingest.formats.sheet_table import SheetCell, SheetTable
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element

MOST_REPEATED = 10_000  # equal rows of a sheet that are written
CHART = "{urn:oasis:names:tc:opendocument:xmlns:chart:1.0}"


def odt(path: Path, data: bytes, comments: bool = False) -> Extracted:
    """Headers, then paragraphs, lists, tables, shapes and notes in order, then footers; tracked changes count as accepted.

    `comments`: whether they are read too; else they are told, here and below.

    Raises:
        Unreadable: encrypted, damaged, of another format, or a bomb; and so the others.
    """
    package, builder, styles = _opened(data, "odt")
    reader = OpenText(styles, builder, builder.add, lambda href: _object(package, href), comments)
    headers: list[str] = []
    try:
        _read(package, reader)
        headers = _margins(package, reader, "header")
        builder.add(*_margins(package, reader, "footer"))
    except OutputFull:
        pass
    return builder.result(_title(package), headers)


def ods(path: Path, data: bytes, comments: bool = False) -> Extracted:
    """Each sheet is a heading and a table, cells as they are shown; hidden sheets are left out and told."""
    package, builder, styles = _opened(data, "ods")
    sheets: list[SheetTable] = []
    number = 0

    def begin(kind: str, node: _Element) -> bool:
        nonlocal number
        title = " ".join(attribute(node, "table:name").split())
        if attribute(node, "table:style-name") in styles.hidden:
            builder.miss("{} hidden sheets", title)
            return False
        builder.add(f"# {title}")
        sheets.append(SheetTable(builder.add))
        number = 0
        return True

    def row(part: OpenPart, node: _Element) -> None:
        nonlocal number
        repeated = max(1, number_in(attribute(node, "table:number-rows-repeated"), 1))
        cells = [SheetCell(" ".join(cell.text.split()), cell.column, cell.width, _is_data(cell.text)) for cell, _ in part.cells]
        if cells and sheets:
            for step in range(min(repeated, MOST_REPEATED)):
                sheets[-1].row(number + 1 + step, cells)
            if repeated > MOST_REPEATED:
                builder.miss(f"rows that repeat more than {MOST_REPEATED:,} times")
        number += repeated

    reader = OpenText(
        styles,
        builder,
        builder.add,
        lambda href: _object(package, href),
        comments,
        row,
        begin,
        lambda kind, part: sheets[-1].end(),
    )
    with contextlib.suppress(OutputFull):
        _read(package, reader)
        for sheet in sheets[-1:]:  # the file may be cut
            sheet.end()
    return builder.result(_title(package))


def odp(path: Path, data: bytes, comments: bool = False) -> Extracted:
    """A page for each slide, its shapes from top to bottom, then its notes; hidden slides are left out and told."""
    package, builder, styles = _opened(data, "odp")

    def begin(kind: str, node: _Element) -> bool:
        builder.page()
        if attribute(node, "draw:style-name") in styles.hidden:
            builder.miss("{} hidden slides", str(len(builder.pages)))
            return False
        return True

    def end(kind: str, part: OpenPart) -> None:
        for _, blocks in sorted(part.shapes, key=lambda shape: shape[0]):
            builder.add("\n".join(blocks) if not blocks[0].startswith("# ") else blocks[0])
        builder.add(*part.blocks)

    reader = OpenText(styles, builder, builder.add, lambda href: _object(package, href), comments, None, begin, end)
    with contextlib.suppress(OutputFull):
        _read(package, reader)
    return builder.result(_title(package))


def _is_data(text: str) -> bool:
    """Whether a cell shows a number or a date: digits, and hardly anything else."""
    letters = sum(letter.isalpha() for letter in text)
    return any(letter.isdigit() for letter in text) and letters <= 3


def _opened(data: bytes, kind: str) -> tuple[Package, TextBuilder, OpenStyles]:
    package, styles = Package(data, kind), OpenStyles()
    builder = TextBuilder(len(data))
    encrypted = "encrypted-package" in package
    if not encrypted and "META-INF/manifest.xml" in package:
        manifest = package.tree("META-INF/manifest.xml", doctype=True)
        encrypted = any(True for _ in manifest.iter(*tags("manifest:encryption-data")))
    if encrypted:
        raise Unreadable("is encrypted; save it without a password first")
    if "styles.xml" in package:
        try:
            styles.add(package.tree("styles.xml"))
        except Unreadable as why:
            builder.damaged("styles", why)
    return package, builder, styles


def _read(package: Package, reader: OpenText) -> None:
    try:
        reader.read(package.elements("content.xml", TAGS, ("start", "end")))
    except Unreadable as why:
        if not reader.builder.blocks:
            raise
        reader.builder.damaged("the text from there on", why)


def _margins(package: Package, reader: OpenText, kind: str) -> list[str]:
    """The different headers, or footers, of the page layouts in use."""
    from lxml import etree

    if "styles.xml" not in package:
        return []
    found: dict[str, None] = {}
    try:
        root = package.tree("styles.xml")
    except Unreadable:  # told already
        return []
    for number, master in enumerate(root.iter(*tags("style:master-page"))):
        if number and attribute(master, "style:name") not in reader.styles.masters | {"Standard"}:
            continue
        for part in master:
            if name(part).startswith(f"style:{kind}") and attribute(part, "style:display") != "false":
                blocks: list[str] = []
                inner = OpenText(reader.styles, reader.builder, lambda *more, into=blocks: into.extend(more), reader.objects)
                inner.read(etree.iterwalk(part, events=("start", "end"), tag=TAGS))
                found.update(dict.fromkeys(block for block in blocks if block.strip()))
    return list(found)


def _title(package: Package) -> dict[str, str]:
    if "meta.xml" not in package:
        return {}
    try:
        root = package.tree("meta.xml")
    except Unreadable:
        return {}
    title = " ".join(
        "".join("".join(map(str, one.itertext())) for one in root.iter("{http://purl.org/dc/elements/1.1/}title")).split()
    )
    return {"title": title} if title else {}


def _object(package: Package, href: str) -> Iterator[str]:
    """An equation as one line; a chart as its titles and its values."""
    part = posixpath.normpath(posixpath.join(href.removeprefix("./"), "content.xml"))
    if part not in package:
        return
    try:
        root = package.tree(part, doctype=True)
    except Unreadable:
        yield "\ufffd"
        return
    if name(root) == "math:math":
        yield " ".join(mathml(root).split())
        return
    titles = [" ".join(" ".join(map(str, title.itertext())).split()) for title in root.iter(f"{CHART}title")]
    rows = []
    for row in root.iter(*tags("table:table-row")):
        cells = [" ".join(" ".join(map(str, cell.itertext())).split()) for cell in row.iter(*tags("table:table-cell"))]
        rows.append([TableCell(text, at) for at, text in enumerate(cells)])
    if child(root, "office:body") is not None:
        yield "\n".join(["", *filter(None, titles)])
        yield from table_blocks(rows, 1)
