"""List numbers of Word as the page shows them: "3.", "a)", "2.1"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats import numerals
from mmgen.ingest.formats.office_names import attribute, child, children, number_in, value

if TYPE_CHECKING:
    from lxml.etree import _Element

LEVELS = 9
FORMATS: dict[str, Callable[[int], str]] = {
    "decimal": str,
    "decimalZero": "{:02d}".format,
    "lowerLetter": numerals.letters,
    "upperLetter": lambda n: numerals.letters(n).upper(),
    "lowerRoman": numerals.roman,
    "upperRoman": lambda n: numerals.roman(n).upper(),
    "ordinal": numerals.ordinal,
    "chineseCounting": numerals.chinese,
    "chineseCountingThousand": numerals.chinese,
    "ideographDigital": numerals.chinese,
    "japaneseCounting": numerals.chinese,
    "taiwaneseCountingThousand": numerals.chinese,
    "decimalEnclosedParen": "({})".format,
    "numberInDash": "- {} -".format,
    "none": lambda n: "",
}
"""Other formats are shown as digits."""


@dataclass(frozen=True)
class ListLevel:
    """How a level of a list is numbered."""

    start: int = 1
    format: str = "decimal"
    text: str = ""  # such as "%1.%2)"
    restart: int | None = None  # levels up to this one, from 1, restart it; None: any above
    legal: bool = False  # higher levels as digits
    style: str = ""  # the paragraph style that is numbered so


@dataclass
class WordNumbering:
    """The lists of a document, and where each stands."""

    lists: dict[str, str] = field(default_factory=dict)  # list -> abstract list, whose counters lists share
    levels: dict[str, dict[int, ListLevel]] = field(default_factory=dict)  # of an abstract list, or a list that overrides
    starts: dict[str, dict[int, int]] = field(default_factory=dict)  # of a list that begins anew
    counts: dict[str, list[int | None]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)  # formats met that are shown as digits

    @classmethod
    def of(cls, root: _Element) -> WordNumbering:
        """From the root of numbering.xml."""
        made = cls()
        for one in children(root, "w:abstractNum"):
            made.levels["a" + attribute(one, "w:abstractNumId")] = dict(map(_level, children(one, "w:lvl")))
        for one in children(root, "w:num"):
            name = attribute(one, "w:numId")
            made.lists[name] = "a" + value(one, "w:abstractNumId")
            for override in children(one, "w:lvlOverride"):
                depth = number_in(attribute(override, "w:ilvl"), 0)
                level = child(override, "w:lvl")
                if level is not None:
                    made.levels.setdefault(name, {}).update([_level(level)])
                if child(override, "w:startOverride") is not None:
                    made.starts.setdefault(name, {})[depth] = number_in(value(override, "w:startOverride"), 1)
        return made

    def label(self, name: str, depth: int) -> str:
        """The label of the next paragraph on a level (from 0) of a list; "-" for a bullet, empty where it shows none."""
        shared = self.lists.get(name)
        if shared is None or not 0 <= depth < LEVELS:
            return ""
        level = self._of(name, depth)
        counts = self.counts.setdefault(shared, [None] * LEVELS)
        for above in range(depth):
            counts[above] = self._of(name, above).start if counts[above] is None else counts[above]
        anew = self.starts.get(name, {}).pop(depth, None)
        count = counts[depth]
        counts[depth] = anew if anew is not None else level.start if count is None else count + 1
        for below in range(depth + 1, LEVELS):
            restart = self._of(name, below).restart
            if restart is None or depth < restart:
                counts[below] = None
        return "-" if level.format == "bullet" else self._shown(name, depth, level, counts)

    def of_style(self, name: str, style: str) -> int | None:
        """The level of a list that numbers the paragraphs of a style."""
        levels = {**self.levels.get(self.lists.get(name, ""), {}), **self.levels.get(name, {})}
        return next((depth for depth, level in levels.items() if style and level.style == style), None)

    def _of(self, name: str, depth: int) -> ListLevel:
        own, shared = self.levels.get(name, {}), self.levels.get(self.lists.get(name, ""), {})
        return own.get(depth) or shared.get(depth) or ListLevel()

    def _shown(self, name: str, depth: int, level: ListLevel, counts: list[int | None]) -> str:
        def one(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            count = counts[at] if at <= depth else None
            format = "decimal" if level.legal and at < depth else self._of(name, at).format
            if format not in FORMATS:
                self.unknown.add(format)
            return "" if count is None else FORMATS.get(format, str)(count)

        return re.sub(r"%([1-9])", one, level.text).strip()


def _level(node: _Element) -> tuple[int, ListLevel]:
    restart = value(node, "w:lvlRestart")
    legal = child(node, "w:isLgl")
    return number_in(attribute(node, "w:ilvl"), 0), ListLevel(
        number_in(value(node, "w:start"), 1),
        value(node, "w:numFmt") or "decimal",
        value(node, "w:lvlText"),
        number_in(restart, 0) if restart else None,
        legal is not None and attribute(legal, "w:val") not in ("0", "false"),
        value(node, "w:pStyle"),
    )
