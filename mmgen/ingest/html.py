"""HTML to text that keeps the outline: headings, lists, tables and code, without what is hidden or stands on every page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.ingest import html_main, html_text
from mmgen.ingest.charset import clean
from mmgen.ingest.html_tree import parsed

if TYPE_CHECKING:
    from lxml.html import HtmlElement

DROPPED = frozenset("head script style nav noscript template svg iframe canvas button del s strike".split())  # noqa: SIM905
HIDDEN = re.compile(r"(display\s*:\s*none|visibility\s*:\s*hidden|text-decoration[^;]*:[^;]*line-through)", re.I)


def html(path: Path, data: bytes) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """Headings become markdown's, so that the splitter sees them; scripts, hidden and struck parts, menus and the like go.

    The metadata `boilerplate` counts the characters of menus, banners, sidebars and footers that were left out.
    """
    root, metadata = parsed(data)
    title = " ".join("".join(found.itertext()).split()) if (found := root.find(".//title")) is not None else ""
    prune(root)
    if dropped := html_main.drop_boilerplate(root):
        metadata["boilerplate"] = dropped
    text = clean(html_text.text_of(root))
    if title and next(root.iter("h1"), None) is None:
        text = f"# {clean(title)}\n\n{text}"
    return text, (), {**metadata, "title": clean(title)} if title else metadata


def prune(root: HtmlElement) -> None:
    """Empties what is not seen: scripts, navigation, hidden and struck elements."""
    todo = [root]
    while todo:
        element = todo.pop()
        if element.tag in DROPPED or _hidden(element):
            element.clear(keep_tail=True)  # taking it out would copy the text behind it to that in front
        else:
            todo += element


def _hidden(element: HtmlElement) -> bool:
    if element.tag == "dialog" and "open" not in element.attrib:
        return True
    if element.get("hidden", "until-found") != "until-found" or (element.tag == "input" and element.get("type") == "hidden"):
        return True
    return bool(HIDDEN.search(element.get("style", "")))
