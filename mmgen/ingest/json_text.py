"""JSON and JSON lines as text: objects as records, conversations as turns; a damaged line costs itself alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mmgen.ingest.charset import Unreadable, brief, clean
from mmgen.ingest.conversations import turns
from mmgen.ingest.records import PARTIAL, Fields, record

BODY = ("text", "content", "body")
KEYS = ("title", "name", "subject", "id", "uuid", "key")
DEEPEST = 16  # levels of indents
LONGEST_NAME = 120  # characters of joined keys that are repeated on each line
NAMED = 10  # numbers of damaged lines that are told


def lines_text(text: str) -> tuple[str, dict[str, Any]]:
    """Every line's value as a record, separated by a blank line, and the metadata `rows`; damaged lines are told there.

    Raises:
        Unreadable: no line is JSON.
    """
    blocks, bad, why, last = [], [], "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        last = number
        try:
            blocks.append(_record(json.loads(line)))
        except (ValueError, RecursionError) as error:
            why = why or brief(error)
            bad.append(number)
    if bad and not blocks:
        raise Unreadable(f"is damaged at line {bad[0]} ({why}), and no other line is whole; repair it")
    metadata: dict[str, Any] = {"rows": len(blocks)}
    if bad:
        metadata[PARTIAL] = _damage(bad, last, why)
    return "\n\n".join(filter(None, blocks)), metadata


def text_of(text: str) -> tuple[str, dict[str, Any]]:
    """A list becomes records, a conversation its turns, anything else is printed with indents.

    Of a list that is cut short the whole elements are read. A value on each line is read as JSON lines.

    Raises:
        Unreadable: no JSON, with the parser's words.
    """
    try:
        return _value_text(json.loads(text)), {}
    except RecursionError as error:
        raise Unreadable(f"is damaged json ({brief(error)}); repair it") from None
    except ValueError as error:
        if found := _saved(text):
            return found
        raise Unreadable(f"is damaged json ({brief(error)}); repair it") from None


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return "\n\n".join(filter(None, map(_record, value)))
    if isinstance(value, dict) and turns(value):
        return _record(value)
    return clean(_printed(value))


def _printed(value: Any) -> str:
    """With indents, but of DEEPEST levels at most: those of every level would make the text grow with depth times lines."""
    lines, level = [], 0
    for line in json.dumps(value, indent=0, ensure_ascii=False).split("\n"):
        level -= line[0] in "]}"
        lines.append("  " * min(level, DEEPEST) + line)
        level += line[-1] in "[{"
    return "\n".join(lines)


def _saved(text: str) -> tuple[str, dict[str, Any]] | None:
    """What can be read of a text that is not one JSON value."""
    start = text.lstrip()
    if start.startswith("{"):
        first, _, rest = start.partition("\n")
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return None
        return lines_text(text) if rest.strip() else None
    elements = list(_elements(start)) if start.startswith("[") else []
    if not elements:
        return None
    missing = f"what follows element {len(elements)}: the list is cut or damaged there"
    return _value_text(elements), {PARTIAL: missing}


def _elements(text: str) -> Iterator[Any]:
    """The elements of a list up to the first that cannot be read."""
    decoder, at = json.JSONDecoder(), 1
    while True:
        at += len(text[at : at + 1000]) - len(text[at : at + 1000].lstrip())
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        comma = re.compile(r"\s*,\s*").match(text, at)
        if not comma and text[at:].strip() == "" and not isinstance(value, dict | list | str):
            return  # a number may itself be cut
        yield value
        if not comma:
            return
        at = comma.end()


def _damage(bad: Sequence[int], last: int, why: str) -> str:
    if bad == [last]:
        return f"line {last}, the last, is cut or damaged ({why})"
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return f"{'lines' if len(bad) > 1 else 'line'} {', '.join(map(str, bad[:NAMED]))}{more} no JSON ({why})"


def _record(value: Any) -> str:
    """The text field comes as it is after `key: value` lines of the others; of a conversation one line a turn."""
    if not isinstance(value, dict):
        return clean("\n".join(text for _, text in _fields("", value))).strip()
    talk = turns(value)
    body = None if talk else next((key for key in BODY if isinstance(value.get(key), str)), None)
    left = talk[0] if talk else body
    rest = list(_fields("", {key: item for key, item in value.items() if key != left}))
    if body is not None and not rest:
        return clean(value[body]).strip()
    said = talk[1] if talk else [("", value[body])] if body is not None else []
    fields = [(clean(name), _compact(text)) for name, text in [*rest, *said]]
    return record(fields, _key(fields))


def _key(fields: Fields) -> tuple[str, str] | None:
    known = (field for key in KEYS for field in fields if field[0] == key and len(field[1]) <= 100)
    return next(known, None)


def _compact(text: str) -> str:
    """Without blank lines, which end a record."""
    return re.sub(r"\n\s*\n", "\n", clean(text)).strip()


def _fields(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Name and value of every scalar inside, keys of inner objects joined by dots; a list of scalars is one.

    A name over LONGEST_NAME characters is told once, on a line of its own, and "…" where it would be repeated.
    """
    todo = [(key, value)]
    while todo:
        key, value = todo.pop()
        if len(key) > LONGEST_NAME:
            yield "", key
            key = "…"
        if isinstance(value, dict):
            todo += [(f"{key}.{name}" if key else name, item) for name, item in reversed(value.items())]
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            todo += [(key, item) for item in reversed(value)]
        elif value not in (None, "", []):
            yield key, ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)


def _scalar(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
