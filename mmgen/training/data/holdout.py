"""Held-out combinations, chosen by a hash of their words: the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmgen.training.data.emoji_images import COLOURS

SHARE = 10  # one of so many combinations is held out
COUNTED = 5  # layouts from here on are counts


def key(words: str) -> int:
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "little")


@dataclass(frozen=True)
class HoldoutKeys:
    """64-bit hashes of things and colours; two things, a thing and a count, or a thing and a colour have the sum of theirs."""

    things: np.ndarray  # (C,) uint64
    colours: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str]) -> HoldoutKeys:
        counts = [key(f"count {n}") for n in range(COUNTED + 3)]
        return cls(*(np.array(k, dtype=np.uint64) for k in (list(map(key, names)), list(map(key, COLOURS)), counts)))

    def held_out(self, layout: np.ndarray, a: np.ndarray, b: np.ndarray, background: np.ndarray) -> np.ndarray:
        """(R,) bool: the pair of things in whatever relation, the count of the thing, or a thing on the background."""
        a_key, b_key = self.things[a], self.things[b]
        pair = (layout > 0) & (layout < COUNTED) & _chosen(a_key + b_key)
        count = (layout >= COUNTED) & _chosen(a_key + self.counts[layout])
        behind = self.colours[background]
        coloured = (background >= 0) & (_chosen(a_key + behind) | _chosen(b_key + behind))
        found: np.ndarray = pair | count | coloured
        return found


def _chosen(keys: np.ndarray) -> np.ndarray:
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)  # a sum's low bits are poor; Fibonacci hashing, Knuth 6.4
    chosen: np.ndarray = (mixed >> np.uint64(32)) % np.uint64(SHARE) == 0
    return chosen
