"""What an answer of OpenAI's API says, for the history: from one JSON object, or from a stream's events."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 2**22
"""Of an answer that is looked at."""


class AnswerText:
    """Collects the pieces of an answer as they pass."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        if self._size < MOST_BYTES:
            self._parts.append(piece)
            self._size += len(piece)

    def texts(self) -> list[str]:
        """Of each choice."""
        said: dict[int, str] = defaultdict(str)
        for one in self._objects():
            for choice in _choices(one):
                index, message = choice.get("index"), choice.get("message") or choice.get("delta")
                content = message.get("content") if isinstance(message, dict) else None
                said[index if isinstance(index, int) else 0] += str(content or choice.get("text") or "")
        return [said[index] for index in sorted(said)]

    def error(self) -> str:
        """What went wrong, in the engine's words; empty where there is none."""
        for one in self._objects():
            told = one.get("error", one if one.get("object") == "error" else None)
            if told:
                return str(told.get("message", told) if isinstance(told, dict) else told)[:500]
        return ""

    def _objects(self) -> list[dict[str, Any]]:
        whole = b"".join(self._parts).decode("utf-8", "replace")
        # not str.splitlines, which parts lines also at characters that JSON may hold as they are
        lines = [line[5:] for line in whole.replace("\r", "\n").split("\n") if line.startswith("data:")] or [whole]
        found = []
        for line in lines:
            try:
                one = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(one, dict):
                found.append(one)
        return found


def _choices(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    choices = told.get("choices")
    yield from (one for one in choices if isinstance(one, dict)) if isinstance(choices, list) else ()
