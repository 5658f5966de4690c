"""Texts of charts and diagrams, which are parts of their own in office documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats.office_names import attribute, child, name, tags
from mmgen.ingest.formats.package import Package
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.text_builder import TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element


def texts(package: Package, part: str, node: _Element, builder: TextBuilder) -> Iterator[str]:
    """Blocks of the charts and diagrams to which an element of a part refers; what cannot be read is noted."""
    for one in node.iter(*tags("c:chart", "dgm:relIds")):
        chart = name(one) == "c:chart"
        _, target = package.relations(part).get(attribute(one, "r:id" if chart else "r:dm"), ("", ""))
        try:
            yield from chart_blocks(package.tree(target)) if chart else diagram_blocks(package.tree(target))
        except Unreadable as why:
            builder.damaged("a chart" if chart else "a diagram", why)


def paragraphs(node: _Element) -> Iterator[str]:
    """The paragraphs of DrawingML in an element."""
    for one in node.iter(*tags("a:p")):
        parts = [(part.text or "") if name(part) == "a:t" else "\n" for part in one.iter(*tags("a:t", "a:br"))]
        if text := "".join(parts).strip():
            yield text


def diagram_blocks(root: _Element) -> Iterator[str]:
    """The points of a diagram, one a line."""
    lines = [" ".join(text.split()) for text in paragraphs(root)]
    if lines:
        yield "\n".join(f"- {line}" for line in lines)


def chart_blocks(root: _Element) -> Iterator[str]:
    """Titles of a chart and its axes, then its values as a table: a row for each category, a column for each series."""
    titles = [" ".join(paragraphs(title)) for title in root.iter(*tags("c:title"))]
    yield from filter(None, [" - ".join(dict.fromkeys(filter(None, titles)))])
    names: list[str] = []
    rows: dict[int, dict[int, str]] = {}
    for number, series in enumerate(root.iter(*tags("c:ser"))):
        names.append(next(iter(_points(child(series, "c:tx")).values()), f"series {number + 1}"))
        categories = child(series, "c:cat")
        values = child(series, "c:val")
        for at, text in _points(categories if categories is not None else child(series, "c:xVal")).items():
            rows.setdefault(at, {}).setdefault(0, text)
        for at, text in _points(values if values is not None else child(series, "c:yVal")).items():
            rows.setdefault(at, {})[number + 1] = text
    if rows:
        head = [TableCell(text, column) for column, text in enumerate(["category", *names])]
        body = [[TableCell(row[column], column) for column in sorted(row)] for _, row in sorted(rows.items())]
        yield from table_blocks([head, *body], 1)


def _points(node: _Element | None) -> dict[int, str]:
    """The stored points of a reference by index; text that is given directly is the first."""
    if node is None:
        return {}
    found: dict[int, str] = {}
    for point in node.iter(*tags("c:pt")):
        text = child(point, "c:v")
        if text is not None and text.text and point.get("idx", "").isdigit():
            found.setdefault(int(point.get("idx", "0")), _number(text.text))
    if not found and (text := child(node, "c:v")) is not None and text.text:
        found[0] = text.text
    return found


def _number(text: str) -> str:
    try:
        return f"{float(text):.10g}" if "." in text and len(text) > 12 else text
    except ValueError:
        return text
