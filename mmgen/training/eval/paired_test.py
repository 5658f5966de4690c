"""Whether one of two systems is better on the same questions, or only luckier."""

from __future__ import annotations

import random
from collections.abc import Sequence

EXACT = 14
"""Differences up to which all signs are tried."""


def sign_flip_p(differences: Sequence[float], draws: int = 10_000, seed: int = 0) -> float:
    """P(a sum of differences at least this high, were each as likely of the other sign), 0 to 1: the one-sided paired
    permutation test (Fisher 1935, section 21), over all signs of up to EXACT differences that are not 0, else over `draws`
    random ones."""
    sizes = [one for one in differences if one != 0]
    wanted = sum(sizes) - 1e-9
    if not sizes:
        return 1.0
    if len(sizes) <= EXACT:
        sums = [0.0]
        for one in map(abs, sizes):
            sums = [total + signed for total in sums for signed in (one, -one)]
        return sum(total >= wanted for total in sums) / len(sums)
    rng = random.Random(seed)
    found = sum(sum(one if rng.random() < 0.5 else -one for one in sizes) >= wanted for _ in range(draws))
    return (found + 1) / (draws + 1)
