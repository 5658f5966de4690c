"""What all parts of a Word document share while they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmgen.ingest.formats.text_builder import TextBuilder
from mmgen.ingest.formats.word.notes import WordNotes
from mmgen.ingest.formats.word.numbering import WordNumbering
from mmgen.ingest.formats.word.styles import WordStyles

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass
class WordContext:
    """Its styles, lists and notes, and where its text goes."""

    builder: TextBuilder
    notes: WordNotes
    styles: WordStyles = field(default_factory=WordStyles)
    numbering: WordNumbering = field(default_factory=WordNumbering)
    drawing: Callable[[str, _Element], Iterator[str]] = lambda part, node: iter(())  # the texts of charts and diagrams
