"""Token ids to text as they come: whole characters only, and nothing that may yet turn out to be a stop string.

Knows ids and characters; not where they come from or who reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF = "\ufffd"
"""What a decoder writes for bytes that are no character, or not yet one."""
UNFINISHED = 3
"""Tokens at most that a character which is not whole can have: its bytes but the last."""
PENDING = 16
"""Tokens that wait for a character's end before those are told that cannot be of one: a model may write nonsense for ever."""


class Detokenizer:
    """`push` every id, then `flush`: the pieces together are what the ids add to the text before them.

    A token's text can depend on the one before it (a sentencepiece word has its space only behind another word), so a few ids
    whose text is known already are decoded with the new ones, and what they add is the piece.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int] = ()) -> None:
        """`context`: the tokens before the first one, such as the end of a prompt; a few are enough."""
        self.decode = decode
        self._ids = list(context)  # from the last piece but one on
        self._told = len(self._ids)  # of these: ids whose text was told
        self._before = decode(self._ids) if self._ids else ""  # their text
        if self._before.endswith(HALF):  # a prompt that ends within a character is no context
            self._ids, self._told, self._before = [], 0, ""

    def push(self, token: int) -> str:
        """The text that is certain by now; empty while a character is not complete."""
        self._ids.append(token)
        text = self.decode(self._ids)
        if text == self._before or not text.startswith(self._before):
            return ""
        return self._nonsense(text) if text.endswith(HALF) else self._tell(text, len(self._ids))

    def flush(self) -> str:
        """The rest, bytes that never became a character included."""
        return self._tell(self.decode(self._ids), len(self._ids)) if len(self._ids) > self._told else ""

    def _nonsense(self, text: str) -> str:
        """Of many tokens without a whole character at their end, those that are certain."""
        count = len(self._ids) - UNFINISHED
        if count < self._told + PENDING:
            return ""
        certain = self.decode(self._ids[:count])
        return self._tell(certain, count) if certain.startswith(self._before) and text.startswith(certain) else ""

    def _tell(self, text: str, count: int) -> str:
        """`text`: of the first `count` ids."""
        piece = text[len(self._before) :]
        told = self._ids[self._told : count]
        self._ids = told + self._ids[count:]
        self._told, self._before = len(told), self.decode(told)
        return piece


class Stops:
    """Holds text back until it can no longer become a stop string, wherever the borders of the pieces are."""

    def __init__(self, strings: Sequence[str] = ()) -> None:
        self.strings = tuple(strings)
        self.held = ""
        self.found: str | None = None  # the stop string that ended the text

    def push(self, text: str) -> str:
        """What may be told. Once `found` is set, that was the end: the stop string and all behind it are dropped."""
        if self.found is not None or not self.strings:
            return "" if self.found is not None else text
        text = self.held + text
        places = [(at, stop) for stop in self.strings if (at := text.find(stop)) >= 0]
        if places:
            at, self.found = min(places, key=lambda place: (place[0], -len(place[1])))
            self.held = ""
            return text[:at]
        keep = max(_overlap(text, stop) for stop in self.strings)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """The end came otherwise: what was held is text."""
        text, self.held = self.held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)
