"""Guessing the next tokens so that the model checks several in one pass. Knows token ids and distributions; no model or cache.

A guess changes how fast a text comes, never what comes. A copied guess is right where the model, drawing as it always does,
draws the same token: the text is that without guesses, token for token. A drafted one is accepted by the rule of Leviathan et
al. 2023 (alg. 1), which keeps the distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmgen.models.lm.sampling import Candidates, pick

LONGEST, SHORTEST = 4, 2
"""Tokens that must repeat before it is guessed that what followed them follows again: the longest first."""
LONGEST_PAUSE = 7


class PromptLookup:
    """Guesses that a text goes on as it once did where its last tokens stood before (Saxena 2023, prompt lookup decoding).

    How much is guessed, and how soon again, follows from how the last guess fared: checking costs, too.
    """

    def __init__(self, most: int) -> None:
        self.most = most  # tokens a guess
        self.reach = min(4, most)
        self.pause = self._resting = 0  # tokens to come without a guess after one that was all wrong
        self._seen = 0  # tokens of the text that are indexed
        self._places: dict[tuple[int, ...], int] = {}  # tokens -> where their last occurrence ended

    def propose(self, ids: Sequence[int]) -> list[int]:
        """Of a text that only ever grows: the tokens that may come next; empty where nothing repeats."""
        for end in range(self._seen + 1, len(ids)):
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._places[tuple(ids[end - size : end])] = end
        self._seen = max(self._seen, len(ids) - 1)
        if self._resting:
            self._resting -= 1
            return []
        for size in range(min(LONGEST, len(ids) - 1), SHORTEST - 1, -1):
            place = self._places.get(tuple(ids[len(ids) - size :]))
            if place is not None:
                return list(ids[place : place + self.reach])
        return []

    def learn(self, guessed: int, accepted: int) -> None:
        """How many tokens of the last guess were right."""
        self.pause = 0 if accepted else min(LONGEST_PAUSE, 2 * self.pause + 1)
        self._resting = self.pause
        if accepted == guessed:
            self.reach = min(self.most, 2 * self.reach)
        elif accepted <= guessed // 2:
            self.reach = max(1, min(self.reach, accepted + 1))


def accept(drafted: int, p: Tensor, q: Tensor, u: float) -> int:
    """The drafted token, or another in its place: distributed as p, given that the draft was drawn from q.

    Args:
        p, q: (V,) what the model and the draft draw from.
        u: uniform in [0, 1), independent of how the draft was drawn. Where the draft is refused, the part of it above the
            acceptance rate, stretched, chooses from what q lacks of p.
    """
    rate = float(p[drafted] / q[drafted])
    if u < rate:
        return drafted
    lacking = (p - q).clamp(min=0)
    if not float(lacking.sum()) > 0:  # they are the same but for rounding
        lacking = p
    return pick(Candidates(lacking[None], None), [(u - rate) / (1 - rate)])[0]
