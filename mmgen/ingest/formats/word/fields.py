"""Fields of a Word document: page numbers, dates, references, forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmgen.ingest.formats.office_names import attribute, child, children, is_on, number_in, value

if TYPE_CHECKING:
    from lxml.etree import _Element


class OpenFields:
    """Fields whose end is not reached; they stand in one another."""

    def __init__(self) -> None:
        self._results: list[bool] = []  # of each: whether its result has begun

    @property
    def shown(self) -> bool:
        """Whether what comes next is text of the page, not the instruction of a field."""
        return all(self._results)

    def read(self, node: _Element) -> Iterator[str]:
        """A `w:fldChar`. Boxes to tick and lists to choose from show what is chosen; other fields their result."""
        kind = attribute(node, "w:fldCharType")
        if kind == "begin":
            form = child(node, "w:ffData")
            if self.shown and (box := child(form, "w:checkBox")) is not None:
                checked = child(box, "w:checked")
                yield "☒" if is_on(checked if checked is not None else child(box, "w:default")) else "☐"
            if self.shown and (choice := child(form, "w:ddList")) is not None:
                entries = [attribute(entry, "w:val") for entry in children(choice, "w:listEntry")]
                at = number_in(value(choice, "w:result") or value(choice, "w:default"), 0)
                yield entries[at] if 0 <= at < len(entries) else ""
            self._results.append(False)
        elif kind == "separate" and self._results:
            self._results[-1] = True
        elif kind == "end" and self._results:
            self._results.pop()
