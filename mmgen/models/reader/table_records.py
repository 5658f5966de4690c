"""Rows of tables as the reader understands them: the row that a question names, said in sentences.

Passages of tables hold a row as lines "column: value" (ingest writes them so), and an empty line between rows. A reader that
was trained on prose confuses the rows, and takes a column's name for an answer. The row whose values have the question's words
is put as "The Price of Bolt M4 is 0.12."; the others are left out. What is found there is a span of the passage again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmgen.models.reader.answer_kinds import Kind, asked_kind, is_column
from mmgen.models.reader.question_overlap import content_stems, stems

CELL = re.compile(r"^(?P<key>[^\n:|]{1,60}): (?P<value>\S[^\n]*)$")
SPEAKERS = {"user", "assistant", "system", "human", "tool", "function"}
"""Who speaks in a record of a conversation, which is no row: its turns answer each other."""
GAP = re.compile(r"\n[ \t]*\n")
Cell = tuple[str, int, int]  # column, where its value begins and ends in the passage


@dataclass(frozen=True)
class TableReading:
    """What is read in place of a passage."""

    text: str
    copied: tuple[tuple[int, int], ...]  # (place in the passage, place in `text`) of what both have, in order
    sizes: tuple[int, ...]  # of each

    def source(self, start: int, end: int) -> tuple[int, int] | None:
        """A span of `text` as one of the passage; None for one that is not, or not only, a value."""
        for (there, here), size in zip(self.copied, self.sizes, strict=True):
            if here <= start and end <= here + size:
                return there + start - here, there + end - here
        return None


def reading(passage: str, question: str) -> TableReading | None:
    """The passage with the row that the question names in sentences and without the other rows; None where there are no rows,
    or where the question names none of them or several alike."""
    blocks, asked = _blocks(passage), content_stems(question)
    rows = [cells for _, _, cells in blocks if cells]
    named = _named(passage, rows, asked)
    if named is None:
        return None
    pieces: list[tuple[str, int]] = []  # a text, and its place in the passage; -1: it has none
    for first, last, cells in blocks:
        if not cells:
            pieces += [(passage[first:last], first), ("\n\n", -1)]
        elif cells is named:
            pieces += [*_said(passage, cells, asked, asked_kind(question)), ("\n\n", -1)]
    text, copied, sizes = "", [], []
    for piece, place in pieces[:-1]:
        if place >= 0:
            copied.append((place, len(text)))
            sizes.append(len(piece))
        text += piece
    return TableReading(text, tuple(copied), tuple(sizes))


def cell_at(passage: str, at: int) -> str:
    """The line "column: value" that holds a place of the passage; empty where it is no such line."""
    line = passage[passage.rfind("\n", 0, at) + 1 :].partition("\n")[0]
    return line if CELL.match(line) else ""


def _blocks(passage: str) -> list[tuple[int, int, list[Cell]]]:
    """(start, end, cells) of what empty lines part; cells where every line is one, of at least two columns."""
    cuts = [0, *(place for gap in GAP.finditer(passage) for place in gap.span()), len(passage)]
    found = []
    for first, last in zip(cuts[::2], cuts[1::2], strict=True):
        cells, at = [], first
        for line in passage[first:last].split("\n"):
            match = CELL.match(line)
            cells.append((match["key"], at + match.start("value"), at + match.end("value")) if match else None)
            at += len(line) + 1
        whole = [cell for cell in cells if cell is not None]
        spoken = any(key in SPEAKERS for key, _, _ in whole)
        found.append((first, last, whole if len(whole) == len(cells) >= 2 and not spoken else []))
    return found


def _named(passage: str, rows: list[list[Cell]], asked: set[str]) -> list[Cell] | None:
    have = [stems(" ".join(passage[a:b] for _, a, b in cells)) for cells in rows]
    weights = [sum(1 / sum(word in other for other in have) for word in asked & words) for words in have]
    best = max(weights, default=0.0)
    return rows[weights.index(best)] if best >= 0.5 and weights.count(best) == 1 else None


def _said(passage: str, cells: list[Cell], asked: set[str], kind: Kind) -> list[tuple[str, int]]:
    """A sentence for each column but the one that has the question's words; where some columns have answers of the kind that
    is asked for, for these alone."""
    subject = max(cells, key=lambda cell: len(asked & stems(passage[cell[1] : cell[2]])))
    fitting = [cell for cell in cells if cell != subject and is_column(kind, cell[0], passage[cell[1] : cell[2]])]
    cells = [subject, *fitting] if fitting else cells
    name = passage[subject[1] : subject[2]]
    out = []
    for key, first, last in cells:
        if (key, first, last) != subject:
            out += [(f"The {key} of {name} is ", -1), (passage[first:last], first), (". ", -1)]
    return out
