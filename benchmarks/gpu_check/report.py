"""Rows of the report, how a part of the check writes them, and the Markdown that they become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure. `good`: whether it is as it must be; None where there is nothing to fail."""

    part: str
    what: str
    figure: str
    good: bool | None = None


class RowWriter:
    """What a part has found out so far, kept in a file line by line: a part that is killed loses nothing."""

    def __init__(self, part: str, path: Path) -> None:
        self.part, self.path = part, path

    def add(self, what: str, figure: str, good: bool | None = None) -> None:
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(Row(self.part, what, figure, good))) + "\n")
        print(f"{self.part:<12} {what:<58} {figure} {'' if good is None else 'ok' if good else 'FAILED'}", flush=True)


def read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def markdown(rows: Sequence[Row], machine: str, seconds: float, small: bool) -> str:
    """The report. Its last line counts what failed."""
    form = " The small form: it shows that the check itself works, its figures say nothing." if small else ""
    lines = ["# What a GPU computes, and how fast", "", f"{machine}. `make gpu-check`, {seconds:.0f} s.{form}", ""]
    for part in dict.fromkeys(row.part for row in rows):
        lines += [f"## {part.capitalize()}", "", "| what | figure | |", "|---|---|---|"]
        for row in rows:
            if row.part == part:
                verdict = "" if row.good is None else "ok" if row.good else "**failed**"
                lines.append(f"| {_cell(row.what)} | {_cell(row.figure)} | {verdict} |")
        lines.append("")
    failed = sum(row.good is False for row in rows)
    held = sum(row.good is True for row in rows)
    return "\n".join([*lines, f"{held} checks held, {failed} failed.", ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
