"""HTML to text that keeps the outline: headings, lists, tables and code."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import clean, decode

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import Tag

CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
DROPPED = ["head", "script", "style", "nav", "noscript", "template", "svg", "iframe", "canvas", "button", "select"]
PARAGRAPHS = frozenset(
    """p div section article main header footer aside blockquote ul ol dl table figure figcaption form fieldset address
    details summary caption hr""".split()  # noqa: SIM905  a list of words
)
LINES = frozenset({"tr", "dt", "dd"})
EAT, EATEN = "\1", "\2"  # marks: white space after the first, and before the second, goes
BREAK = "\v"


def html(path: Path, data: bytes) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """Headings become markdown's, so that the splitter sees them; scripts, styles and navigation go."""
    soup, metadata = parsed(data)
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(DROPPED):
        tag.clear()
    for tag in soup("br"):
        tag.append(BREAK)  # taking a tag out would search for it among its siblings, of which there can be thousands
    code = [tag.get_text().replace(BREAK, "\n").strip("\n") for tag in soup("pre")]
    text = _tidied(_rendered(soup), code)
    if title and not soup.h1:
        text = f"# {title}\n\n{text}"
    return text, (), {**metadata, "title": title} if title else metadata


def parsed(data: bytes) -> tuple[BeautifulSoup, dict[str, Any]]:
    """The parsed tree and the metadata of `decode`. Raises Unreadable for what is no text."""
    from bs4 import BeautifulSoup

    declared = CHARSET.search(data[:2048])
    text, metadata = decode(data, declared[1].decode() if declared else "")
    text = re.sub(r"^\s*<\?xml[^>]*>", "", text)
    # without the two in front and around it warns of XML, or of a file name
    return BeautifulSoup(io.StringIO("<!doctype html><html>" + text), "lxml"), metadata


def _rendered(root: Tag) -> str:
    """The tree as text with markers; iterative, since pages can be nested thousands of levels deep."""
    from bs4.element import NavigableString, PreformattedString, Tag

    parts: list[str] = []
    items: Counter[int] = Counter()  # of every numbered list
    listings = 0
    todo: list[Any] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, PreformattedString):
            continue  # comments and the like
        if isinstance(node, NavigableString):
            parts.append(re.sub(r"[^\S\v]+|[\0-\x08]+", " ", node))
        elif not isinstance(node, Tag):
            parts.append(node)  # what closes a tag
        elif node.name == "pre":
            parts.append(f"\n\n\0{listings}\0\n\n")
            listings += 1 + len(node("pre"))
        elif re.fullmatch(r"h[1-6]", node.name):
            words = " ".join(node.get_text().split())
            parts.append(f"\n\n{'#' * int(node.name[1])} {words}\n\n" if words else "\n\n")
        else:
            opening, closing = _around(node, items)
            parts.append(opening)
            todo.append(closing)
            todo += reversed(node.contents)
    return "".join(parts)


def _around(tag: Tag, items: Counter[int]) -> tuple[str, str]:
    if tag.name in PARAGRAPHS:
        return "\n\n", "\n\n"
    if tag.name in LINES:
        return "\n", ""
    if tag.name == "li":
        items[id(tag.parent)] += 1
        numbered = tag.parent is not None and tag.parent.name == "ol"
        return f"\n{items[id(tag.parent)]}. {EAT}" if numbered else f"\n- {EAT}", EATEN
    if tag.name in ("td", "th"):
        return (f" | {EAT}" if tag.find_previous_sibling(["td", "th"]) else EAT), EATEN
    return "", ""


def _tidied(text: str, code: list[str]) -> str:
    """Collapses white space as a browser does, then inserts code blocks verbatim in fences."""
    text = re.sub(r" {2,}", " ", text.replace(BREAK, "\n"))
    text = re.sub(rf"{EAT}\s*{EATEN}|{EAT}\s*|(?<!\s)\s*{EATEN}", "", text)
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r" ?\n ?", "\n", text)).strip()
    return clean(re.sub(r"\0(\d+)\0", lambda mark: _fenced(code[int(mark[1])]), text))


def _fenced(code: str) -> str:
    longest = max((len(run) for run in re.findall("`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{code}\n{fence}"
