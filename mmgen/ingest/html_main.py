"""Finds what stands on every page of a site: menus, banners, sidebars, footers. The judge of doubtful parts is trafilatura."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

ROLES = frozenset({"navigation", "contentinfo", "search", "menu", "menubar", "dialog", "alertdialog", "banner"})
SURE = re.compile(r"cookie|consent|gdpr|breadcrumb|skip-?(link|to|nav)", re.I)
MENU = re.compile(r"(^|[-_ ])(nav|navbar|navigation|topnav|topbar|menu|menubar|megamenu)s?($|[-_ ])", re.I)
"""Of links mostly: a restaurant's menu is content."""
LIKELY = re.compile(
    r"side-?bar|related|recommend|share|sharing|social|promo|newsletter|subscribe|advert|(^|[-_ ])(ads?|footer|header|masthead|"
    r"pagination|pager|toolbar|banner|popup|modal|toc)($|[-_ ])",
    re.I,
)
TAGS = frozenset({"aside", "footer", "header"})
GROUPS = frozenset({"ul", "ol", "dl", "div", "section", "table", "form"})
KEPT = 0.5  # of its pairs of words: then trafilatura takes it for content
LARGEST = 0.6  # of the page's text: no boilerplate is larger
LONGEST_BANNER = 3000  # characters: what is longer is no banner, whatever its name
TRUSTED = 0.25  # of the page's text: what trafilatura must find at least, to be believed
LONGEST = 2**21  # characters of a page that trafilatura looks at
DEEPEST = 200  # levels
WORD = re.compile(r"\w+")


@dataclass
class TextSize:
    """Of an element with all in it, in characters."""

    text: int = 0
    linked: int = 0
    links: int = 0
    depth: int = 0  # levels below

    def link_list(self) -> bool:
        return self.links >= 3 and self.linked >= 0.7 * self.text and self.linked <= 50 * self.links


def drop_boilerplate(root: HtmlElement) -> int:
    """Empties menus, banners, sidebars and footers of a page; the characters that were dropped.

    What contains the main element, an article, a heading of the first level or most of the text is never dropped. What is
    likely boilerplate by its name, tag or density of links goes only where trafilatura leaves it out as well.
    """
    elements = list(root.iter())
    sizes = _sizes(elements)
    whole = sizes[root].text
    content = _with_ancestors(root.iter("main", "article", "h1"))
    body = next(root.iter("main"), None)
    within = set() if body is None else set(body.iter())
    sure, likely = [], []
    for element in elements:
        size = sizes[element]
        if element in content or not size.text or size.text > LARGEST * whole:
            continue
        named = f"{element.get('class', '')} {element.get('id', '')}"
        banner = size.text <= LONGEST_BANNER and SURE.search(named)
        if element.get("role") in ROLES or banner or (2 * size.linked >= size.text and MENU.search(named)):
            sure.append(element)
        elif element.tag in GROUPS | TAGS and (
            LIKELY.search(named) or (element not in within and (element.tag in TAGS or size.link_list()))
        ):
            likely.append(element)
    dropped = _emptied(sure, sizes)
    left = whole - dropped
    words = _main_words(root) if likely and left <= LONGEST and sizes[root].depth <= DEEPEST else []
    if words and sum(map(len, words)) >= TRUSTED * left:
        kept = set(pairwise(words))
        dropped += _emptied([one for one in likely if _share(one, kept) < KEPT], sizes)
    return dropped


def _sizes(elements: list[HtmlElement]) -> dict[HtmlElement, TextSize]:
    """Of all elements, given in the document's order."""
    found = {element: TextSize() for element in elements}
    for element in reversed(elements):
        size = found[element]
        size.text += len((element.text or "").strip())
        if element.tag == "a":
            size.linked, size.links = size.text, 1
        outer = found.get(element.getparent())
        if outer is not None:
            outer.text += size.text + len((element.tail or "").strip())
            outer.linked += size.linked
            outer.links += size.links
            outer.depth = max(outer.depth, size.depth + 1)
    return found


def _emptied(elements: list[HtmlElement], sizes: dict[HtmlElement, TextSize]) -> int:
    """Empties the outermost of them; the characters that were in there."""
    total = 0
    inside: set[HtmlElement] = set()
    for element in elements:  # in the document's order: an outer one before those within
        if element not in inside:
            total += sizes[element].text
            inside.update(element.iter())
    for element in elements:
        element.clear(keep_tail=True)
    return total


def _with_ancestors(elements: Iterable[HtmlElement]) -> set[HtmlElement]:
    found: set[HtmlElement] = set()
    for element in elements:
        while element is not None and element not in found:
            found.add(element)
            element = element.getparent()
    return found


def _main_words(root: HtmlElement) -> list[str]:
    """The words that trafilatura takes for the page's content; none where it fails."""
    import logging

    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    try:
        text = trafilatura.extract(copy.deepcopy(root), favor_recall=True, deduplicate=False, include_comments=True)
    except Exception:  # of a tree that it does not expect: nothing doubtful is dropped
        return []
    return WORD.findall((text or "").lower())


def _share(element: HtmlElement, kept: set[tuple[str, str]]) -> float:
    """Of an element's pairs of words, those that are kept."""
    words = WORD.findall(" ".join(element.itertext()).lower())
    pairs = list(pairwise(words)) or [(word, word) for word in words]
    return sum(pair in kept for pair in pairs) / len(pairs) if pairs else 0.0
