"""Where passages and quotes stand on the pages of their document: layouts beside the documents, and rectangles from them.

The table is made when the first document with pages comes, so that stores of earlier releases stay readable, to those too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmgen.interfaces import PageBox, PageLayout

if TYPE_CHECKING:
    from mmgen.stores.relational.interface import RelationalDatabase, Transaction

TABLE = """
CREATE TABLE IF NOT EXISTS page_layouts (
    document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE, page INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, width REAL NOT NULL, height REAL NOT NULL, recognized REAL,
    packed BLOB NOT NULL, PRIMARY KEY (document_id, page))
"""
APART = 2.0  # heights of a line by which words of one rectangle may stand apart


def store(database: RelationalDatabase, connection: Transaction, document_id: int, layout: Sequence[PageLayout]) -> None:
    """Keeps a document's layout; it goes when the document does."""
    if layout:
        if not _kept(database):
            connection.execute(TABLE)
        connection.executemany(
            "INSERT INTO page_layouts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(document_id, p.number, p.start, p.end, p.width, p.height, p.recognized, p.packed) for p in layout],
        )


def between(database: RelationalDatabase, document_id: int, start: int, end: int) -> list[PageLayout]:
    """The layouts of the pages on which the document's characters from `start` to `end` stand."""
    return _pages(database, 'document_id = ? AND start < ? AND "end" > ?', (document_id, end, start))


def of(database: RelationalDatabase, document_id: int) -> list[PageLayout]:
    """The layouts of all pages of a document."""
    return _pages(database, "document_id = ?", (document_id,))


def _pages(database: RelationalDatabase, where: str, parameters: Sequence[int]) -> list[PageLayout]:
    if not _kept(database):
        return []
    columns = 'page, start, "end", width, height, recognized, packed'
    rows = database.all(f"SELECT {columns} FROM page_layouts WHERE {where} ORDER BY page", parameters)
    return [PageLayout(*row) for row in rows]


def recognized(database: RelationalDatabase, passages: Sequence[int]) -> dict[int, float]:
    """Of the passages that stand on pages whose text was recognised: the recogniser's mean confidence on these."""
    if not _kept(database):
        return {}
    rows = database.all(
        "SELECT p.id, avg(l.recognized) FROM passages p JOIN page_layouts l ON l.document_id = p.document_id "
        f'AND l.start < p."end" AND l."end" > p.start WHERE p.id {database.among} GROUP BY p.id',
        (json.dumps(list(passages)),),
    )
    return {number: round(mean, 3) for number, mean in rows if mean is not None}


def places(layouts: Sequence[PageLayout], start: int, end: int) -> tuple[tuple[PageBox, ...], float | None]:
    """The rectangles of the characters from `start` to `end`, one a line, and the recogniser's confidence in their words.

    Of a word that is partly in the range, the part by its letters. The confidence is None where nothing was recognised.
    """
    boxes: list[PageBox] = []
    sure: list[float] = []
    for page in layouts:
        spans, where, confidence = page.words()
        inside = np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))
        sure += [float(value) for value in confidence[inside] if not np.isnan(value)]
        for (a, b), (left, top, right, bottom) in zip(spans[inside].tolist(), where[inside].tolist(), strict=True):
            share = (right - left) / (b - a)
            box = (left + share * max(0, start - a), top, right - share * max(0, b - end), bottom)
            boxes.append(PageBox(page.number, *(round(value, 1) for value in box)))
    return tuple(_joined(boxes)), round(sum(sure) / len(sure), 3) if sure else None


def _joined(boxes: Sequence[PageBox]) -> Iterator[PageBox]:
    """Boxes of one line that follow one another as one."""
    line: PageBox | None = None
    for box in boxes:
        if line is not None and _beside(line, box):
            edges = (min(line.left, box.left), min(line.top, box.top), max(line.right, box.right), max(line.bottom, box.bottom))
            line = PageBox(line.page, *edges)
            continue
        if line is not None:
            yield line
        line = box
    if line is not None:
        yield line


def _beside(line: PageBox, box: PageBox) -> bool:
    height = max(line.bottom - line.top, box.bottom - box.top)
    level = min(line.bottom, box.bottom) - max(line.top, box.top) > 0.5 * min(line.bottom - line.top, box.bottom - box.top)
    apart = max(box.left - line.right, line.left - box.right)
    return line.page == box.page and level and apart < APART * height


def _kept(database: RelationalDatabase) -> bool:
    return database.has_table("page_layouts")
