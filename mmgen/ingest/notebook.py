"""Jupyter notebooks as markdown: cells in order, code fenced, the text of outputs, no pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmgen.ingest.charset import Unreadable, brief, clean, decode

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colours of tracebacks


def ipynb(path: Path, data: bytes) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """The text of every cell. Raises Unreadable where it is no notebook of format 4."""
    text, metadata = decode(data)
    try:
        cells = json.loads(text)["cells"]
        parts = [part.strip("\n") for cell in cells for part in _parts(cell)]
    except (ValueError, RecursionError) as why:
        raise Unreadable(f"is a damaged notebook ({brief(why)}); save it anew") from None
    except (AttributeError, KeyError, TypeError):
        raise Unreadable("is no notebook of format 4; save it with a newer Jupyter") from None
    return clean("\n\n".join(part for part in parts if part.strip())), (), metadata


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    source = _joined(cell["source"])
    yield _fenced(source) if cell["cell_type"] == "code" and source.strip() else source
    for output in cell.get("outputs", ()):
        shown = output.get("text") or output.get("data", {}).get("text/plain") or output.get("traceback") or ""
        words = ANSI.sub("", _joined(shown))
        if words.strip():
            yield _fenced(words)


def _joined(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def _fenced(text: str) -> str:
    """In a fence longer than any within."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}\n{text.strip(chr(10))}\n{fence}"
