"""Styles of OpenDocument files: list numbers as shown, and what is hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats import numerals
from mmgen.ingest.formats.office_names import attribute, child, name, number_in, tags

if TYPE_CHECKING:
    from lxml.etree import _Element

FORMATS: Mapping[str, Callable[[int], str]] = {
    "1": str,
    "a": numerals.letters,
    "A": lambda n: numerals.letters(n).upper(),
    "i": numerals.roman,
    "I": lambda n: numerals.roman(n).upper(),
    "": lambda n: "",
}
"""Other formats are shown as digits."""


@dataclass(frozen=True)
class OpenLevel:
    """How a level of a list is labelled."""

    bullet: bool = False
    format: str = "1"
    prefix: str = ""
    suffix: str = ""
    start: int = 1
    shown: int = 1  # levels in the label

    @classmethod
    def of(cls, node: _Element) -> OpenLevel:
        get = {key: attribute(node, f"style:num-{key}") for key in ("format", "prefix", "suffix")}
        start, shown = (number_in(attribute(node, f"text:{key}"), 1) for key in ("start-value", "display-levels"))
        return cls("bullet" in name(node) or "image" in name(node), **get, start=start, shown=shown)


@dataclass
class OpenStyles:
    """Of a document, from content.xml and styles.xml."""

    lists: dict[str, dict[int, OpenLevel]] = field(default_factory=dict)  # style -> level, from 1
    outline: dict[int, OpenLevel] = field(default_factory=dict)  # of headings
    hidden: set[str] = field(default_factory=set)  # styles of texts, sheets and slides that are not shown
    masters: set[str] = field(default_factory=set)  # page layouts that paragraphs ask for
    used: dict[str, list[int]] = field(default_factory=dict)  # counts of a list style, to go on with
    headings: list[int] = field(default_factory=list)  # counts of headings

    def add(self, root: _Element) -> None:
        """More styles, from the root or a part of it."""
        for one in root.iter(*tags("text:list-style", "text:outline-style", "style:style")):
            levels = {
                number_in(attribute(level, "text:level"), 1): OpenLevel.of(level)
                for level in one
                if "level-style" in name(level)
            }
            if name(one) == "text:outline-style":
                self.outline = levels
            elif name(one) == "text:list-style":
                self.lists[attribute(one, "style:name")] = levels
            else:
                self._style(one)

    def _style(self, node: _Element) -> None:
        text, sheet = child(node, "style:text-properties"), child(node, "style:table-properties")
        slide = child(node, "style:drawing-page-properties")
        if (
            (text is not None and attribute(text, "text:display") == "none")
            or (sheet is not None and attribute(sheet, "table:display") == "false")
            or (slide is not None and attribute(slide, "presentation:visibility") == "hidden")
        ):
            self.hidden.add(attribute(node, "style:name"))
        if master := attribute(node, "style:master-page-name"):
            self.masters.add(master)

    def label(self, style: str, counts: list[int]) -> str:
        """The label of an item with these counts, one for each level; "-" for a bullet."""
        return _label(self.lists.get(style, {}), counts)

    def start(self, style: str, depth: int) -> int:
        """The first number on a level, from 1."""
        level = self.lists.get(style, {}).get(depth)
        return level.start if level else 1

    def heading(self, depth: int) -> str:
        """The number of the next heading on a level, from 1; empty where headings have none."""
        counts = self.headings
        while len(counts) < depth:
            counts.append(self.outline[len(counts) + 1].start - 1 if len(counts) + 1 in self.outline else 0)
        counts[depth - 1] += 1
        del counts[depth:]
        return _label(self.outline, counts) if depth in self.outline and self.outline[depth].format else ""


def _label(levels: Mapping[int, OpenLevel], counts: list[int]) -> str:
    level = levels.get(len(counts))
    if level is None or level.bullet:
        return "-"
    if not level.format:
        return (level.prefix + level.suffix).strip()
    first = max(len(counts) - level.shown, 0)
    shown = [FORMATS.get((levels.get(at + 1) or level).format, str)(counts[at]) for at in range(first, len(counts))]
    return (level.prefix + ".".join(filter(None, shown)) + level.suffix).strip()
