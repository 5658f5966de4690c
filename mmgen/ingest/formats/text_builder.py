"""Gathers the text of a document block by block: bounded, with where its pages begin and what of it is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from mmgen.ingest.charset import Unreadable, clean
from mmgen.ingest.extraction.limits import Extracted, ExtractionLimits
from mmgen.ingest.records import LEFT_OUT, PARTIAL

NAMED = 5  # places of a kind that are told


class OutputFull(Exception):
    """The text reached its limit; the builder has noted it."""


class TextBuilder:
    """Blocks, joined by blank lines."""

    def __init__(self, size: int) -> None:
        """`size`: bytes of the file."""
        self.most = ExtractionLimits.characters_for(size)
        self.blocks: list[str] = []
        self.pages: list[int] = []
        self.length = 0  # of the text so far, with the separator after it
        self.missing: Counter[str] = Counter()
        self.places: dict[str, list[str]] = {}
        self.unread: Counter[str] = Counter()  # what is left out of such files by choice

    def add(self, *blocks: str) -> None:
        """More blocks; blank ones are left out. Raises OutputFull at the limit."""
        for block in blocks:
            block = clean(block).strip("\n")
            if not block.strip():
                continue
            if self.length + len(block) > self.most:
                self.miss(f"what follows {self.length:,} characters: a file of this size may give {self.most:,}")
                raise OutputFull
            self.blocks.append(block)
            self.length += len(block) + 2

    def page(self) -> None:
        """A page begins: what is added next stands on it."""
        self.pages.append(self.length)

    def miss(self, what: str, place: str = "", count: int = 1) -> None:
        """Notes something that is not in the text.

        Args:
            what: one phrase; "{}" in it becomes the number of its places.
            place: where.
            count: how many.
        """
        self.missing[what] += count
        if place:
            self.places.setdefault(what, []).append(place)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Notes something that is not read of such files; "{}" in it becomes the number."""
        self.unread[what] += count

    def damaged(self, part: str, why: Unreadable) -> None:
        """Notes a part that cannot be read, beside others that can."""
        self.miss(f"{part}, which {str(why).partition(';')[0].removeprefix('is ')}")

    def notes(self) -> str:
        """All that is missing, in one line."""
        return "; ".join(self._note(what, count) for what, count in self.missing.items())

    def result(self, metadata: dict[str, Any] | None = None, first: Iterable[str] = ()) -> Extracted:
        """Text, page offsets and metadata. `first`: blocks that come before all others, where there are no pages.

        Raises:
            Unreadable: there is no text, but what is missing says why.
        """
        text = "\n\n".join([*(clean(block) for block in first), *self.blocks])
        found = dict(metadata or {})
        if self.missing:
            if not text.strip():
                raise Unreadable(f"holds no text that can be read; it lacks {self.notes()}")
            found[PARTIAL] = self.notes()
        if self.unread:
            found[LEFT_OUT] = ", ".join(what.replace("{}", f"{count:,}") for what, count in self.unread.items())
        return text, tuple(self.pages), found

    def _note(self, what: str, count: int) -> str:
        places = self.places.get(what, [])
        shown = ", ".join(places[:NAMED]) + (f" and {len(places) - NAMED} more" if len(places) > NAMED else "")
        return what.replace("{}", f"{count:,}") + (f" ({shown})" if shown else "")
