"""Presentations as text: a page for each slide, its shapes from top to bottom, then its notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.formats import drawings, numerals
from mmgen.ingest.formats.equations import omml
from mmgen.ingest.formats.office_names import attribute, child, children, name, number_in, tags
from mmgen.ingest.formats.package import Package
from mmgen.ingest.formats.table_text import TableCell, table_blocks
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder

if TYPE_CHECKING:
    from lxml.etree import _Element

TITLES = frozenset({"title", "ctrTitle"})
REPEATED = frozenset({"dt", "sldNum"})  # the date and the number of each slide
LINE = 360_000  # EMU, 1 cm: shapes whose tops differ by less stand in one line
NUMBERS: dict[str, Callable[[int], str]] = {
    "arabic": str,
    "alphaLc": numerals.letters,
    "alphaUc": lambda n: numerals.letters(n).upper(),
    "romanLc": numerals.roman,
    "romanUc": lambda n: numerals.roman(n).upper(),
}
MARKS = {"Period": "{}.", "ParenR": "{})", "ParenBoth": "({})", "Plain": "{}"}


@dataclass(frozen=True)
class SlideShape:
    """A shape and where its left top corner stands on the slide, in EMU."""

    node: _Element
    left: float
    top: float
    placeholder: str = ""  # its kind, if it is one

    def order(self) -> tuple[int, float, float]:
        """Titles first, then by lines from the top, then from the left."""
        return (0 if self.placeholder in TITLES else 1, self.top // LINE, self.left)


@dataclass(frozen=True)
class Placement:
    """How coordinates within a group become the slide's: `a * x + b`."""

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        return self.scale[0] * x + self.shift[0], self.scale[1] * y + self.shift[1]


def pptx(path: Path, data: bytes, comments: bool = False) -> Extracted:
    """Titles become headings, tables rows that name their columns, charts the table of their values.

    Hidden slides are left out and told. Page offsets are those of the slides, by their numbers.

    Args:
        path: of the file.
        data: its bytes.
        comments: whether comments are read too; else they are told.

    Raises:
        Unreadable: encrypted, damaged, of another format, or a bomb.
    """
    package = Package(data, "pptx")
    builder = TextBuilder(len(data))
    main = package.related("", "officeDocument") or "ppt/presentation.xml"
    relations = package.relations(main)
    try:
        for number, one in enumerate(package.tree(main).iter(*tags("p:sldId")), 1):
            builder.page()
            part = relations.get(attribute(one, "r:id"), ("", ""))[1]
            try:
                _slide(package, part, number, builder, comments)
            except Unreadable as why:
                builder.damaged(f"slide {number}", why)
    except OutputFull:
        pass
    title = package.title()
    return builder.result({"title": title} if title and title != "PowerPoint Presentation" else {})


def _slide(package: Package, part: str, number: int, builder: TextBuilder, comments: bool) -> None:
    root = package.tree(part)
    if root.get("show") in ("0", "false"):
        builder.miss("{} hidden slides", str(number))
        return
    places = _inherited(package, part)
    shapes = sorted(_shapes(child(root, "p:cSld", "p:spTree"), Placement(), places), key=SlideShape.order)
    for shape in shapes:
        if shape.placeholder not in REPEATED:
            builder.add(*_blocks(package, part, shape, builder))
    for kind, target in package.relations(part).values():
        if kind == "notesSlide":
            builder.add(*_notes(package.tree(target)))
        elif kind == "comments":
            _comments(package.tree(target), builder, comments)


def _inherited(package: Package, part: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(kind, index) of placeholders -> where they stand if the slide does not say: as the layout does, or the master."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for kind in ("slideLayout", "slideMaster"):
        part = package.related(part, kind) or ""
        if not part:
            break
        try:
            tree = child(package.tree(part), "p:cSld", "p:spTree")
        except Unreadable:  # only positions are lost
            break
        for shape in _shapes(tree, Placement(), {}):
            place = _placeholder(shape.node)
            if place is not None:
                found.setdefault((shape.placeholder, place.get("idx", "")), (shape.left, shape.top))
                found.setdefault((shape.placeholder, ""), (shape.left, shape.top))
    return found


def _placeholder(node: _Element) -> _Element | None:
    return next(iter(node.iter(*tags("p:ph"))), None)


def _shapes(
    tree: _Element | None, placed: Placement, inherited: dict[tuple[str, str], tuple[float, float]]
) -> Iterator[SlideShape]:
    """The shapes of a tree, those in groups too."""
    for node in tree if tree is not None else ():
        kind = name(node)
        if kind == "mc:AlternateContent":
            choice = child(node, "mc:Choice")
            yield from _shapes(choice if choice is not None else child(node, "mc:Fallback"), placed, inherited)
        elif kind == "p:grpSp":
            yield from _shapes(node, _within(child(node, "p:grpSpPr", "a:xfrm"), placed), inherited)
        elif kind in ("p:sp", "p:graphicFrame", "p:pic", "p:cxnSp"):
            place = _placeholder(node)
            sort = "" if place is None else place.get("type", "body")
            corner = next(iter(node.iter(*tags("a:off"))), None)
            if corner is not None:
                x, y = placed(number_in(corner.get("x", ""), 0), number_in(corner.get("y", ""), 0))
            else:
                index = "" if place is None else place.get("idx", "")
                x, y = inherited.get((sort, index)) or inherited.get((sort, ""), (0.0, 0.0))
            yield SlideShape(node, x, y, sort)


def _within(node: _Element | None, outer: Placement) -> Placement:
    """The placement of a group's shapes, from its `a:xfrm`."""
    if node is None:
        return outer
    numbers = {}
    for key, (first, second) in {"off": "xy", "ext": ("cx", "cy"), "chOff": "xy", "chExt": ("cx", "cy")}.items():
        one = child(node, f"a:{key}")
        numbers[key] = tuple(0 if one is None else number_in(one.get(side, ""), 0) for side in (first, second))
    scale = tuple(numbers["ext"][n] / numbers["chExt"][n] if numbers["chExt"][n] else 1.0 for n in (0, 1))
    shift = tuple(numbers["off"][n] - scale[n] * numbers["chOff"][n] for n in (0, 1))
    return Placement(
        (outer.scale[0] * scale[0], outer.scale[1] * scale[1]),
        (outer.scale[0] * shift[0] + outer.shift[0], outer.scale[1] * shift[1] + outer.shift[1]),
    )


def _blocks(package: Package, part: str, shape: SlideShape, builder: TextBuilder) -> Iterator[str]:
    kind = name(shape.node)
    if kind == "p:pic":
        builder.leave_out("{} pictures")
    elif kind == "p:graphicFrame":
        table = next(iter(shape.node.iter(*tags("a:tbl"))), None)
        if table is not None:
            yield from _table(table)
        elif any(True for _ in shape.node.iter(*tags("p:oleObj"))):
            builder.miss("{} embedded objects", next(iter(shape.node.iter(*tags("p:oleObj")))).get("progId", ""))
        else:
            yield from drawings.texts(package, part, shape.node, builder)
    else:
        body = child(shape.node, "p:txBody")
        lines = list(_lines(body)) if body is not None else []
        if shape.placeholder in TITLES and lines:
            yield "# " + " ".join(" ".join(lines).split())
        elif lines:
            yield "\n".join(lines)


def _lines(body: _Element) -> Iterator[str]:
    """A line for each paragraph; numbered ones carry their numbers."""
    counts: dict[int, int] = {}
    for paragraph in children(body, "a:p"):
        text = "".join(_pieces(paragraph)).strip()
        about = child(paragraph, "a:pPr")
        level = number_in("" if about is None else about.get("lvl", ""), 0)
        numbered = child(about, "a:buAutoNum")
        counts = {deep: count for deep, count in counts.items() if deep < level or (deep == level and numbered is not None)}
        if not text:
            continue
        if numbered is not None:
            start = number_in(numbered.get("startAt", ""), 1)
            counts[level] = counts.get(level, start - 1) + 1
            text = f"{_label(numbered.get('type', ''), counts[level])} {text}"
        elif child(about, "a:buChar") is not None:
            text = f"- {text}"
        yield text


def _pieces(paragraph: _Element) -> Iterator[str]:
    for node in paragraph:
        kind = name(node)
        if kind in ("a:r", "a:fld"):
            yield from (part.text or "" for part in children(node, "a:t"))
        elif kind == "a:br":
            yield "\n"
        elif node.find(".//{*}oMath") is not None:
            yield from map(omml, node.iter(*tags("m:oMath")))


def _label(kind: str, number: int) -> str:
    shown = next((make(number) for key, make in NUMBERS.items() if kind.startswith(key)), str(number))
    return next((mark.format(shown) for key, mark in MARKS.items() if kind.endswith(key)), f"{shown}.")


def _table(table: _Element) -> Iterator[str]:
    rows: list[list[TableCell]] = []
    above: dict[int, str] = {}
    for row in children(table, "a:tr"):
        cells: list[TableCell] = []
        for column, node in enumerate(children(row, "a:tc")):
            if node.get("hMerge") in ("1", "true"):
                continue
            body = child(node, "a:txBody")
            text = "\n".join(_lines(body)) if body is not None else ""
            if node.get("vMerge") in ("1", "true"):
                text = above.get(column, "")
            above[column] = text
            cells.append(TableCell(text, column, max(1, min(number_in(node.get("gridSpan", ""), 1), 1000))))
        rows.append(cells)
    about = child(table, "a:tblPr")
    named = about is not None and about.get("firstRow") in ("1", "true")
    yield from table_blocks(rows, 1 if named else None)


def _notes(root: _Element) -> Iterator[str]:
    """What the speaker wrote, without the page's number and date."""
    for shape in root.iter(*tags("p:sp")):
        place, body = _placeholder(shape), child(shape, "p:txBody")
        if place is not None and place.get("type", "body") == "body" and body is not None and (lines := list(_lines(body))):
            yield "Notes: " + "\n".join(lines)


def _comments(root: _Element, builder: TextBuilder, wanted: bool) -> None:
    texts = [" ".join(" ".join(map(str, one.itertext())).split()) for one in root.iter("{*}cm")]
    if wanted:
        builder.add(*(f"[Comment: {text}]" for text in texts))
    elif texts:
        builder.leave_out("{} comments", len(texts))
