"""Styles of Word: which are headings, hidden or numbered, by themselves or by what they are based on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats.office_names import attribute, child, children, is_on, number_in, value

if TYPE_CHECKING:
    from lxml.etree import _Element

BODY = 9  # the outline level of what is no heading
DEEPEST = 50  # styles may be based on one another in a circle


@dataclass(frozen=True)
class WordStyle:
    """What a style, or a paragraph's own properties, say; None where they say nothing."""

    level: int | None = None  # of the outline, from 0
    list: str | None = None  # "0": none
    depth: int | None = None  # in the list
    hidden: bool | None = None
    bold: bool | None = None

    @classmethod
    def of(cls, paragraph: _Element | None, run: _Element | None = None) -> WordStyle:
        """From `w:pPr` and `w:rPr`."""
        level = value(paragraph, "w:outlineLvl")
        depth = value(paragraph, "w:numPr", "w:ilvl")
        hidden, bold = child(run, "w:vanish"), child(run, "w:b")
        return cls(
            number_in(level, BODY) if level else None,
            value(paragraph, "w:numPr", "w:numId") or None,
            number_in(depth, 0) if depth else None,
            None if hidden is None else is_on(hidden),
            None if bold is None else is_on(bold),
        )

    def over(self, below: WordStyle) -> WordStyle:
        """What is said here, else what is said below."""
        mine, theirs = vars(self), vars(below)
        return WordStyle(**{key: theirs[key] if mine[key] is None else mine[key] for key in mine})


@dataclass
class WordStyles:
    """The styles of a document by id."""

    own: dict[str, WordStyle] = field(default_factory=dict)
    based: dict[str, str] = field(default_factory=dict)
    whole: dict[str, WordStyle] = field(default_factory=dict)  # with what they are based on
    default: str = ""  # of paragraphs

    @classmethod
    def of(cls, root: _Element) -> WordStyles:
        """From the root of styles.xml."""
        made = cls()
        for one in children(root, "w:style"):
            name, title = attribute(one, "w:styleId"), value(one, "w:name").lower()
            style = WordStyle.of(child(one, "w:pPr"), child(one, "w:rPr"))
            if heading := re.fullmatch(r"heading ([1-9])", title):
                style = WordStyle(int(heading[1]) - 1).over(style)
            elif title == "title":
                style = WordStyle(0).over(style)
            made.own[name], made.based[name] = style, value(one, "w:basedOn")
            if attribute(one, "w:type") == "paragraph" and attribute(one, "w:default") in ("1", "true", "on"):
                made.default = name
        return made

    def get(self, name: str) -> WordStyle:
        if name not in self.whole:
            style, at = WordStyle(), name
            for _ in range(DEEPEST):
                if at not in self.own:
                    break
                style = style.over(self.own[at])
                at = self.based[at]
            self.whole[name] = style
        return self.whole[name]

    def numbered(self, name: str) -> str:
        """The style, of this one and those below it, that says by which list it is numbered."""
        for _ in range(DEEPEST):
            if name not in self.own or self.own[name].list is not None:
                break
            name = self.based[name]
        return name
