"""The choices that were made on this machine, as JSON in the home: one file a model. Knows files; measures nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
FORMAT = 1
TRIES = 3
"""Measurements that settle nothing before none is tried any more."""


@dataclass(frozen=True)
class Row:
    """A candidate: what it took, and what became of it."""

    candidate: str
    ms: float | None  # of a pass, the median; None: it was not timed
    accepted: bool
    why: str  # the gate's figure, or why it was refused


@dataclass(frozen=True)
class Choice:
    """The precision of one model on one machine."""

    kind: str
    model: str  # reference under which it was measured
    precision: str
    settled: bool  # False: the safe one, as the measurement said nothing
    why: str
    table: tuple[Row, ...]
    key: Mapping[str, str]  # the machine and the model's files: while they are the same, the choice counts
    tries: int = 1

    @property
    def final(self) -> bool:
        """Whether it is not measured again by itself."""
        return self.settled or self.tries >= TRIES

    def __str__(self) -> str:
        return f"{self.model} runs in {self.precision or 'its own precision'}: {self.why}"


class Choices:
    """A folder of them. What is damaged or of another format is measured again, and told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, kind: str, key: Mapping[str, str]) -> Choice | None:
        """The choice for that machine and model."""
        path = self._path(kind, key)
        return self._read(path) if path.exists() else None

    def put(self, choice: Choice) -> None:
        """Whole or not at all. Where nothing can be written the choice counts for this process alone, which is told."""
        path = self._path(choice.kind, choice.key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"format": FORMAT, **asdict(choice)}, file, indent=1)
            Path(part).replace(path)
        except OSError as why:
            log.warning("the precision of %s cannot be kept (%s) and is measured again next time", choice.model, why)

    def all(self) -> Iterator[Choice]:
        """Those that can be read, by model."""
        found = (self._read(path) for path in sorted(self.folder.glob("*.json")))
        return iter(sorted((one for one in found if one is not None), key=lambda one: (one.kind, one.model)))

    def _read(self, path: Path) -> Choice | None:
        try:
            return _choice(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as why:
            log.warning("%s is damaged or of another version (%s): the precision is measured again", path, str(why)[:120])
            return None

    def _path(self, kind: str, key: Mapping[str, str]) -> Path:
        about = json.dumps([kind, dict(key)], sort_keys=True)
        return self.folder / f"{kind.replace(' ', '-')}-{hashlib.sha256(about.encode()).hexdigest()[:16]}.json"


def _choice(values: dict[str, Any]) -> Choice:
    """Raises KeyError, TypeError or ValueError for what is none."""
    if values.pop("format") != FORMAT:
        raise ValueError("another format")
    table = tuple(Row(**row) for row in values.pop("table"))
    choice = Choice(**values, table=table)
    if not isinstance(choice.precision, str) or not isinstance(choice.tries, int) or not isinstance(choice.settled, bool):
        raise TypeError("a value of another type")
    return choice
