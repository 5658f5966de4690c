"""Output helpers of the commands: aligned columns or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import typer


def print_json(value: Any) -> None:
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, default=str))


def print_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns fit their content; the last one is never truncated."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    for number, row in enumerate((head, *rows)):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        typer.secho("  ".join([*cells, row[-1]]).rstrip(), dim=number == 0)


def bar(share: float, width: int = 30) -> str:
    """A bar of a share from 0 to 1, in eighths of a block character."""
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    return "\u2588" * (eighths // 8) + (chr(0x2590 - eighths % 8) if eighths % 8 else "")


def plain(value: Any) -> Any:
    """A JSON-serializable form of a result: its `to_dict()`, a dataclass's fields, or the value itself."""
    if callable(to_dict := getattr(value, "to_dict", None)):
        return to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
