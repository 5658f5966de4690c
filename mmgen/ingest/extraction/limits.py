"""What the extraction of one document may take: seconds, bytes of memory, characters of output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmgen.ingest.records import PARTIAL
from mmgen.interfaces import PageLayout

GROWTH = 16  # characters of text for each byte of the file
ROOM = 2**20  # characters that any file may become
MIB = 2**20

Extracted = tuple[str, tuple[int, ...], dict[str, Any]]
Extraction = tuple[str, tuple[int, ...], dict[str, Any], tuple[PageLayout, ...]]
"""With the places of the words, which formats without pages have none of."""


@dataclass(frozen=True)
class ExtractionLimits:
    """Base amounts; large files get more by their size. A step that reports progress gets the time anew."""

    seconds: float = 60.0
    memory: int = 768 * MIB  # bytes

    def seconds_for(self, size: int) -> float:
        """`size`: bytes of the file, and below."""
        return self.seconds + 2.0 * size / MIB

    def memory_for(self, size: int) -> int:
        return self.memory + 16 * size

    @staticmethod
    def characters_for(size: int) -> int:
        return GROWTH * size + ROOM


def bounded(extracted: tuple[Any, ...], size: int) -> Extraction:
    """What a loader gives, with the layouts that it may leave out.

    Cut after a line where the text is longer than `characters_for(size)`; the metadata then say so.
    """
    text, pages, metadata, *more = extracted
    layout: tuple[PageLayout, ...] = more[0] if more else ()
    most = ExtractionLimits.characters_for(size)
    if len(text) <= most:
        return text, pages, metadata, layout
    at = text.rfind("\n", most // 2, most)
    at = most if at < 0 else at
    missing = f"what follows character {at:,} of {len(text):,}: the text is more than {GROWTH} times as long as the file"
    told = {**metadata, PARTIAL: "; ".join(filter(None, [metadata.get(PARTIAL), missing]))}
    return text[:at], _before(pages, at), told, tuple(page for page in layout if page.start < at)


def _before(pages: Sequence[int], end: int) -> tuple[int, ...]:
    return tuple(at for at in pages if at < end)
