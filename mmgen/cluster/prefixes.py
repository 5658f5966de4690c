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
"""Prefixes that are remembered of a model on a replica, the last used."""


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
    """Replicas by the prefixes that they have read. Of a prefix that one has read, so are all shorter ones."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._replicas: dict[str, dict[int, dict[str, None]]] = {}  # model -> prefix -> replicas, as an ordered set
        self._known: dict[str, dict[str, OrderedDict[int, None]]] = {}  # replica -> model -> prefixes, the last used last

    def add(self, replica: str, model: str, prefix: Sequence[int]) -> None:
        """That replica reads a prompt. The longest prefixes are forgotten first: shorter ones are of more use."""
        if not prefix:
            return
        known = self._known.setdefault(replica, {}).setdefault(model, OrderedDict())
        where, touch = self._replicas.setdefault(model, {}), known.move_to_end
        for one in reversed(prefix):
            if one in known:
                touch(one)
            else:
                known[one] = None
                readers = where.get(one)
                if readers is None:
                    where[one] = {replica: None}
                else:
                    readers[replica] = None
        while len(known) > self.kept:
            self._forget(replica, model, known.popitem(last=False)[0])

    def drop(self, replica: str, model: str | None = None) -> None:
        """It is gone, or one of its models is."""
        known = self._known.get(replica, {})
        for each in list(known) if model is None else [model]:
            for one in known.pop(each, ()):
                self._forget(replica, each, one)
        if model is None:
            self._known.pop(replica, None)

    def longest(self, model: str, prefix: Sequence[int]) -> tuple[float, dict[str, None]]:
        """Of the longest prefix that anybody has, as a part of the longest there is, and who has it, the latest last."""
        where, high = self._replicas.get(model), len(prefix)
        if not where or not high:
            return 0.0, {}
        if (whole := where.get(prefix[-1])) is not None:
            return 1.0, whole
        low, high = 0, high - 1  # the first `low` are known
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if prefix[middle - 1] in where else (low, middle - 1)
        return (LENGTHS[low - 1] / LENGTHS[len(prefix) - 1], where[prefix[low - 1]]) if low else (0.0, {})

    def _forget(self, replica: str, model: str, one: int) -> None:
        where = self._replicas[model]
        del where[one][replica]
        if not where[one]:
            del where[one]
