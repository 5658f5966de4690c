"""Where the beginnings of prompts are cached. A prefix is a hash of all its characters; its text is not kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

BLOCK = 256
"""Characters."""
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Blocks of the prefixes that are told apart: few for a long prompt, and at most a third less than what is equal."""
KEPT = 4096
"""Prefixes that are remembered of a replica, the last used."""


def chain(text: str) -> tuple[int, ...]:
    """A hash for each prefix of these lengths, the shortest first: equal hashes, equal texts up to there."""
    found, digest, begin = [], blake2b(digest_size=8), 0
    for blocks in LENGTHS:
        end = blocks * BLOCK
        if end > len(text):
            break
        digest.update(text[begin:end].encode("utf-8", "surrogatepass"))
        found.append(int.from_bytes(digest.digest(), "big"))
        begin = end
    return tuple(found)


class PrefixIndex:
    """Replicas by the prefixes that they have read."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._replicas: dict[tuple[str, int], dict[str, None]] = {}  # model and prefix -> replicas, as an ordered set
        self._known: dict[str, OrderedDict[tuple[str, int], None]] = {}

    def add(self, replica: str, model: str, prefix: Sequence[int]) -> None:
        """That replica reads a prompt. The longest prefixes are forgotten first: shorter ones are of more use."""
        known = self._known.get(replica)
        if known is None:
            known = self._known[replica] = OrderedDict()
        for one in reversed(prefix):
            key = model, one
            if key in known:
                known.move_to_end(key)
            else:
                known[key] = None
                self._replicas.setdefault(key, {})[replica] = None
        while len(known) > self.kept:
            self._forget(replica, known.popitem(last=False)[0])

    def drop(self, replica: str, model: str | None = None) -> None:
        """It is gone, or one of its models is."""
        known = self._known.get(replica, OrderedDict())
        for key in [key for key in known if model is None or key[0] == model]:
            del known[key]
            self._forget(replica, key)
        if model is None:
            self._known.pop(replica, None)

    def longest(self, model: str, prefix: Sequence[int]) -> tuple[float, dict[str, None]]:
        """Of the longest prefix that anybody has, as a part of the longest there is, and who has it, the latest last."""
        low, high = 0, len(prefix)  # the first `low` are known
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if (model, prefix[middle - 1]) in self._replicas else (low, middle - 1)
        return (LENGTHS[low - 1] / LENGTHS[len(prefix) - 1], self._replicas[model, prefix[low - 1]]) if low else (0.0, {})

    def _forget(self, replica: str, key: tuple[str, int]) -> None:
        where = self._replicas[key]
        del where[replica]
        if not where:
            del self._replicas[key]
