"""What stands within a line: raised and lowered text, formulas, readings, form fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.html import HtmlElement

SLASHES = ("/", "\u2044")
SIGNED = re.compile(r"[-+\u2212\u2013]?\d[\d.,]*[-+\u2212]?|[-+\u2212]")
SHORT = 12  # characters that are raised or lowered without becoming small print
UNWRITTEN = frozenset(
    {"hidden", "password", "submit", "reset", "button", "image", "checkbox", "radio", "file", "color", "range"}
)
"""Types of `input` whose value is not read as text."""
PILCROWS = frozenset({"\u00b6", "#", "\u00a7", "\U0001f517"})  # links of a heading to itself
INLINE = frozenset(
    """a b i u em strong span code kbd samp var abbr cite q small big font mark ins tt time bdi bdo wbr
    data""".split()  # noqa: SIM905  a list of words
)
OPERATORS = {"msup": "^", "msub": "_", "mfrac": "/"}
DEEPEST = 20  # levels of a formula


def inline(element: HtmlElement) -> str:
    """All text of an element on one line."""
    parts: list[str] = []
    todo: list[Any] = [child for child in (element.text, *_inside(element)) if child is not None][::-1]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            parts.append(node)
        elif node.tag == "a" and "".join(node.itertext()).strip() in PILCROWS:
            continue
        elif (text := replaced(node, next((part[-1] for part in reversed(parts) if part), ""))) is not None:
            parts.append(text)
        else:
            apart = node.tag not in INLINE
            todo += [" "] * apart
            todo += reversed([child for child in (node.text, *_inside(node)) if child is not None])
            todo += [" "] * apart
    return " ".join("".join(parts).split())


def _inside(element: HtmlElement) -> list[Any]:
    return [part for child in element for part in (child, child.tail)]


def replaced(element: HtmlElement, before: str) -> str | None:
    """The text that stands for an element as a whole; None where its content is read as usual.

    `before`: the character in front of it, or none.
    """
    if element.tag == "sup":
        return raised(_plain(element), before, _is_note(element), _begins_fraction(element))
    if element.tag == "sub":
        return lowered(_plain(element), before)
    if element.tag == "ruby":
        return _with_reading(element)
    if element.tag == "math":
        return _formula(element)
    if element.tag == "input":
        return "" if element.get("type", "text").lower() in UNWRITTEN else f" {element.get('value', '')}"
    if element.tag == "select":
        return " " + ", ".join(_plain(option) for option in element.iter("option") if "selected" in option.attrib)
    return None


def raised(text: str, before: str, note: bool = False, fraction: bool = False) -> str:
    """10<sup>6</sup> as 10^6, which joined would be another number; notes in brackets; 1<sup>st</sup> and the like joined."""
    if not text or (note and text[0] in "[("):
        return text
    if note:
        return f"[{text}]"
    if fraction:
        return f" {text}" if before.isdigit() else text
    if not (before.isalnum() or before in tuple(")]}%\u00b0")) or not before:
        return text
    if SIGNED.fullmatch(text) or (len(text) == 1 and text.isalpha() and text not in "aeo"):
        return f"^{text}"
    if text.replace(".", "").isalpha():
        return text  # an ordinal's ending
    return f"^({text})" if len(text) <= SHORT and " " not in text else f" {text}"


def lowered(text: str, before: str) -> str:
    """H<sub>2</sub>O as H2O, as people write it; x_max; after a digit 10_2."""
    if not text or not before or before in SLASHES:
        return text
    if text.isdigit() and (before.isalpha() or before in ")]"):
        return text
    return f"_{text}" if len(text) <= SHORT and " " not in text and before.isalnum() else f" {text}"


def _plain(element: HtmlElement) -> str:
    return " ".join("".join(element.itertext()).split())


def _is_note(element: HtmlElement) -> bool:
    """Whether it links to a place on the page, or is such a link's text."""
    parent = element.getparent()
    links = [*element.iter("a"), *([parent] if parent is not None and parent.tag == "a" else [])]
    return any(link.get("href", "").startswith("#") or "noteref" in link.get("role", "") for link in links)


def _begins_fraction(element: HtmlElement) -> bool:
    after = element.getnext()
    return after is not None and after.tag == "sub" and (element.tail or "").strip() in SLASHES


def _with_reading(ruby: HtmlElement) -> str:
    """The words, then how they are read in brackets: the words themselves stay whole."""
    words = [ruby.text or ""]
    readings = []
    for child in ruby:
        if child.tag == "rt":
            readings.append(_plain(child))
        elif child.tag not in ("rp", "rtc"):
            words.append(_plain(child))
        words.append(child.tail or "")
    reading = "".join(readings)
    return "".join("".join(words).split()) + (f"({reading})" if reading else "")


def _formula(math: HtmlElement) -> str:
    """Its TeX where the page carries it, or else x^2, a_1, (a+b)/c."""
    tex = next((node.text for node in math.iter("annotation") if "tex" in node.get("encoding", "")), None)
    return f" {tex or math.get('alttext') or _term(math, DEEPEST)} "


def _term(node: HtmlElement, depth: int) -> str:
    if depth == 0 or not len(node):
        return _plain(node)
    parts = [_term(child, depth - 1) for child in node if child.tag not in ("annotation", "annotation-xml")]
    if node.tag not in OPERATORS:
        return "".join([(node.text or "").strip(), *parts])
    return OPERATORS[node.tag].join(part if re.fullmatch(r"\w*", part) else f"({part})" for part in parts)
