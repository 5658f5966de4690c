"""Delimited text as rows of named values: finds the delimiter, the header line and where a quote was never closed."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from mmgen.ingest.records import LONGEST_NAME, PARTIAL, record

DELIMITERS = "\t;|,"  # of two that fit equally well the first: the comma stands in numbers and prose too
SAMPLE = 2**16  # characters that tell the delimiter
TOP = 30  # rows among which the header is looked for
GROWTH, ROOM = 16, 2**20  # the text is at most GROWTH * input + ROOM characters
SHORT_NAME = 24  # characters that are left of a name over LONGEST_NAME
CELL = 2**27  # characters of a cell
DIRECTIVE = re.compile(r'"?sep=(.)"?\n', re.IGNORECASE)
NUMBER = re.compile(r"[-+(]?[€$£]?\s?\d[\d.,'\u00a0\u202f ]*\)?\s?[%€$£]?")
DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")


def rows_text(text: str, tabs: bool = False) -> tuple[str, dict[str, Any]]:
    """Every row as lines of `column: value`, rows separated by a blank line, and the metadata `rows`.

    Lines above the header come first, as they are. A file without a header gets numbered columns. Column names over
    LONGEST_NAME characters are written whole once, at the top, and shortened in the rows.

    Args:
        text: the file's.
        tabs: whether its name says that tabs separate the columns.
    """
    directive = DIRECTIVE.match(text)
    body = text[directive.end() :] if directive else text
    delimiter = directive[1] if directive else "\t" if tabs and "\t" in body[:SAMPLE] else delimiter_of(body)
    rows, metadata = parsed(body, delimiter)
    top = header_at(rows)
    table = [row for row in rows[top:] if _filled(row)]
    if len(table) < 2:
        return body, metadata
    named = not _is_data(table[0])
    width = max(map(len, table))
    names = [" ".join(name.split()) for name in table[0]] if named else []
    names += [""] * (width - len(names))
    names = [name or f"column {number}" for number, name in enumerate(names, 1)]
    blocks = ["\n".join(delimiter.join(row).strip() for row in rows[:top] if _filled(row))]
    blocks.append("\n".join(name for name in names if len(name) > LONGEST_NAME))
    names = [
        name if len(name) <= LONGEST_NAME else f"{name[:SHORT_NAME]}… (column {number})" for number, name in enumerate(names, 1)
    ]
    told, size = len([block for block in blocks if block]), 0
    records = table[1:] if named else table
    for row in records:
        blocks.append(record([(name, " ".join(cell.split())) for name, cell in zip(names, row, strict=False) if cell.strip()]))
        size += len(blocks[-1])
        if size > GROWTH * len(text) + ROOM:
            break
    blocks = [block for block in blocks if block]
    metadata["rows"] = len(blocks) - told
    if metadata["rows"] < len(records):
        missing = (
            f"rows after {metadata['rows']} of {len(records)}: with their column names they are too long; shorten the header"
        )
        metadata[PARTIAL] = missing
    return "\n\n".join(blocks), metadata


def delimiter_of(text: str) -> str:
    """The one that cuts the longest run of the first lines into equally many cells, more than one; else a comma."""
    sample = text[:SAMPLE]
    best, found = (0, 0), ","
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _read(_lines(sample), delimiter) if _filled(row)]
        run = max((len(list(same)) for width, same in groupby(widths) if width > 1), default=0)
        alike = max((count for width, count in Counter(widths).items() if width > 1), default=0)
        if (run, alike) > best:
            best, found = (run, alike), delimiter
    return found


def parsed(text: str, delimiter: str) -> tuple[list[list[str]], dict[str, Any]]:
    """The rows, empty ones too. From a quote on that is never closed, quotes are read as letters, and metadata says so."""
    lines = _lines(text)
    reader = _reader(lines, delimiter)
    rows, begin = [], 0
    for row in reader:
        if reader.line_num == len(lines) and _open_quote(lines[begin:], delimiter):
            rows += _read(lines[begin:], delimiter, csv.QUOTE_NONE)
            return rows, {PARTIAL: f"the quote that line {begin + 1} opens is never closed; from there on quotes are letters"}
        rows.append(row)
        begin = reader.line_num
    return rows, {}


def header_at(rows: Sequence[Sequence[str]]) -> int:
    """The row that names the columns: the first with cells in more than half of the table's columns.

    Later, where an empty line separates it from narrower rows above, as in banks' exports.
    """
    widths = Counter(len(row) for row in rows if _filled(row))
    if not widths:
        return 0
    usual = widths.most_common(1)[0][0]
    first = next((at for at, row in enumerate(rows[:TOP]) if 2 * _filled(row) > usual), 0)
    for at in range(1, min(TOP, len(rows))):
        full = len(rows[at]) >= usual and 2 * _filled(rows[at]) > usual > 1
        if full and not _filled(rows[at - 1]) and any(map(_filled, rows[:at])):
            return at if all(_filled(row) < _filled(rows[at]) for row in rows[:at]) else first
    return first


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)  # str.splitlines cuts at form feeds and U+2028 as well


def _reader(lines: Sequence[str], delimiter: str, quoting: int = csv.QUOTE_MINIMAL, strict: bool = False) -> Any:
    csv.field_size_limit(CELL)  # of the process; Python's own is a twelfth of what a pasted log needs
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=strict)  # type: ignore[arg-type]


def _read(lines: Sequence[str], delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> list[list[str]]:
    return list(_reader(lines, delimiter, quoting))


def _open_quote(lines: Sequence[str], delimiter: str) -> bool:
    """Whether the one record in these lines ends inside a quote."""
    try:
        list(_reader(lines, delimiter, strict=True))
    except csv.Error as why:
        return "unexpected end" in str(why)
    return False


def _filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _is_data(row: Sequence[str]) -> bool:
    """Whether a first row holds values: a date, a fraction or a negative number; or numbers alone, none a year."""
    cells = [cell.strip() for cell in row if cell.strip()]
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    if any(DATE.fullmatch(cell) for cell in cells) or any(re.search(r"\d[.,]\d|^-", cell) for cell in numbers):
        return True
    return len(numbers) == len(cells) and not all(re.fullmatch(r"(19|20)\d\d", cell) for cell in cells)
