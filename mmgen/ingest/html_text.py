"""The tree of a page as text with markdown's marks. Iterative: pages can be nested thousands of levels deep."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from mmgen.ingest.html_inline import inline, replaced
from mmgen.ingest.html_tables import CELLS, is_data, table_text

if TYPE_CHECKING:
    from lxml.html import HtmlElement

PARAGRAPHS = frozenset(
    """p div section article main header footer aside blockquote ul ol dl table figure figcaption form fieldset address
    details summary caption hr center td th""".split()  # noqa: SIM905  a list of words
)
LINES = frozenset({"tr", "dt", "dd", "label", "option"})
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
EAT, EATEN = "\1", "\2"  # marks: white space after the first, and before the second, goes
BREAK = "\v"


class Mark(str):
    """What is no text of the page."""


def text_of(root: HtmlElement) -> str:
    """All of it; what is not to be read was emptied before."""
    verbatim: list[str] = []
    return _tidied(_rendered(root, verbatim), verbatim)


def _rendered(root: HtmlElement, verbatim: list[str]) -> str:
    """With marks; code and tables stand in `verbatim` and have their place here."""
    parts: list[str] = []
    items: Counter[Any] = Counter()  # of every numbered list
    todo: list[Any] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, Mark):
            parts.append(node)
        elif isinstance(node, str):
            parts.append(re.sub(r"[^\S\v]+|[\0-\x08]+", " ", node))
        elif node.tag == "pre" or (node.tag == "table" and is_data(node)):
            if whole := fenced(code(node)) if node.tag == "pre" else table_text(node):
                verbatim.append(whole)
                parts.append(f"\n\n\0{len(verbatim) - 1}\0\n\n")
        elif node.tag in HEADINGS and not any(child.tag in PARAGRAPHS | HEADINGS for child in node):
            words = inline(node)
            parts.append(f"\n\n{'#' * int(node.tag[1])} {words}\n\n" if words else "\n\n")
        elif (text := replaced(node, parts[-1][-1:] if parts else "")) is not None:
            parts.append(text)
        else:
            opening, closing = _around(node, items)
            parts.append(opening)
            todo.append(Mark(closing))
            _push(todo, node)
    return "".join(filter(None, parts))


def _push(todo: list[Any], element: HtmlElement) -> None:
    """Its texts and children, the first on top."""
    for child in reversed(element):
        if child.tail:
            todo.append(child.tail)
        todo.append(child)
    if element.text:
        todo.append(element.text)


def _around(element: HtmlElement, items: Counter[Any]) -> tuple[str, str]:
    if element.tag == "br":
        return BREAK, ""
    if element.tag in CELLS and (before := element.getprevious()) is not None and before.tag in CELLS:
        return ("\n\n", "\n\n") if (row := element.getparent()) is not None and row.tag == "tr" else (f" | {EAT}", EATEN)
    if element.tag in PARAGRAPHS or element.tag in HEADINGS:
        return "\n\n", "\n\n"
    if element.tag in LINES:
        return "\n", ""
    if element.tag == "li":
        items[parent := element.getparent()] += 1
        return f"\n{items[parent]}. {EAT}" if parent is not None and parent.tag == "ol" else f"\n- {EAT}", EATEN
    return "", ""


def code(element: HtmlElement) -> str:
    """As it is written."""
    for line in element.iter("br"):
        line.text = "\n"
    return "".join(element.itertext()).strip("\n")


def fenced(code: str) -> str:
    if not code.strip():
        return ""
    longest = max((len(run) for run in re.findall("`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{code}\n{fence}"


def _tidied(text: str, verbatim: list[str]) -> str:
    """Collapses white space as a browser does, then inserts what is verbatim."""
    text = re.sub(r" {2,}", " ", text.replace(BREAK, "\n"))
    text = re.sub(rf"{EAT}\s*{EATEN}|{EAT}\s*|(?<!\s)\s*{EATEN}", "", text)
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r" ?\n ?", "\n", text))
    return re.sub(r"\0(\d+)\0", lambda mark: verbatim[int(mark[1])], text).strip()
