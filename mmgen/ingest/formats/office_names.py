"""Names of elements with short prefixes, `w:p`, whichever edition of the standards' namespaces a file uses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element

OOXML = "http://schemas.openxmlformats.org/"
STRICT = "http://purl.oclc.org/ooxml/"
ODF = "urn:oasis:names:tc:opendocument:xmlns:"
PREFIXES = {
    "w": ("wordprocessingml/2006/main", "wordprocessingml/main"),
    "m": ("officeDocument/2006/math", "officeDocument/math"),
    "a": ("drawingml/2006/main", "drawingml/main"),
    "c": ("drawingml/2006/chart", "drawingml/chart"),
    "dgm": ("drawingml/2006/diagram", "drawingml/diagram"),
    "p": ("presentationml/2006/main", "presentationml/main"),
    "x": ("spreadsheetml/2006/main", "spreadsheetml/main"),
    "r": ("officeDocument/2006/relationships", "officeDocument/relationships"),
    "wp": ("drawingml/2006/wordprocessingDrawing", "drawingml/wordprocessingDrawing"),
    "xdr": ("drawingml/2006/spreadsheetDrawing", "drawingml/spreadsheetDrawing"),
}
NAMESPACES = {
    **{OOXML + old: prefix for prefix, (old, _) in PREFIXES.items()},
    **{STRICT + new: prefix for prefix, (_, new) in PREFIXES.items()},
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://schemas.microsoft.com/office/word/2010/wordprocessingShape": "wps",
    "urn:schemas-microsoft-com:vml": "v",
    "urn:schemas-microsoft-com:office:office": "o",
    "http://www.w3.org/1998/Math/MathML": "math",
    "http://www.w3.org/1999/xlink": "xlink",
    "urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0": "fo",
    "urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0": "svg",
    **{f"{ODF}{name}:1.0": name for name in ("office", "text", "table", "style", "presentation", "manifest", "meta")},
    f"{ODF}drawing:1.0": "draw",
}
SPACES = {prefix: [space for space, short in NAMESPACES.items() if short == prefix] for prefix in set(NAMESPACES.values())}


@cache
def _short(tag: str) -> str:
    space, _, name = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    prefix = NAMESPACES.get(space)
    return f"{prefix}:{name}" if prefix else name


def name(node: _Element) -> str:
    """`w:p`; the name alone where the namespace is none of ours, empty for an entity that is not expanded."""
    return _short(node.tag) if isinstance(node.tag, str) and len(node.tag) < 200 else ""


@cache
def tags(*names: str) -> tuple[str, ...]:
    """The full tags, of every edition."""
    return tuple(
        f"{{{space}}}{local}" for prefix, _, local in (one.partition(":") for one in names) for space in SPACES[prefix]
    )


def attribute(node: _Element, wanted: str) -> str:
    """An attribute with a prefix, such as `w:val`; empty where it is absent."""
    return next((found for tag in tags(wanted) if (found := node.get(tag)) is not None), "")


def children(node: _Element, wanted: str) -> Iterator[_Element]:
    return (child for child in node if name(child) == wanted)


def child(node: _Element | None, *path: str) -> _Element | None:
    """The first child of that name, and of it the first of the next name, and so on."""
    for wanted in path:
        node = next(children(node, wanted), None) if node is not None else None
    return node


def value(node: _Element | None, *path: str) -> str:
    """The `w:val` of a child."""
    found = child(node, *path)
    return "" if found is None else attribute(found, f"{path[-1].partition(':')[0]}:val")


def is_on(node: _Element | None) -> bool:
    """Whether a property that is either on or off is on: it is there, and does not say otherwise."""
    return node is not None and attribute(node, "w:val") not in ("0", "false", "off")


def number_in(text: str, otherwise: int) -> int:
    try:
        return int(text)
    except ValueError:
        return otherwise
