"""Elements of a Word document whose end is not reached yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats.table_text import TableCell

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(slots=True)
class OpenParagraph:
    """A paragraph whose end is not reached."""

    node: _Element
    looked: bool = False  # whether its first child was looked at
    properties: _Element | None = None
    parts: list[str] = field(default_factory=list)  # its text
    after: list[str] = field(default_factory=list)  # blocks that follow it: its text boxes and notes
    runs: int = 0  # open ones
    bold: bool = True  # all its text


@dataclass(slots=True)
class OpenContainer:
    """What holds blocks, and is not yet at its end: a table, row, cell, text box or note, or the part itself."""

    kind: str = ""
    node: _Element | None = None
    fallback: bool = False  # a text box's edition for older programs
    looked: bool = False
    properties: _Element | None = None
    parts: list[str] = field(default_factory=list)  # the blocks in it
    carried: list[str] = field(default_factory=list)  # text of paragraphs whose end was deleted
    bold: bool = True
    cells: list[tuple[TableCell, list[str]]] = field(default_factory=list)  # of a row, with their blocks
    rows: list[tuple[bool, bool, list[tuple[TableCell, list[str]]]]] = field(default_factory=list)  # of a table: header, bold
    above: dict[int, str] = field(default_factory=dict)  # of a table: the texts of the last row by column
