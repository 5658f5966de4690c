"""Whether what an answer claims stands in passages: a reward for answers that invent nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mmgen.errors import BadRequest
from mmgen.pipelines.rag.sentence_spans import parts
from mmgen.pipelines.rag.word_overlap import support

ENOUGH = 0.7
"""Of a sentence's content words, found in a quote: then it is supported."""


class GroundedAnswer(Protocol):
    """An answer, and the row of data that it answers."""

    @property
    def text(self) -> str: ...
    @property
    def row(self) -> Any: ...


def supported(text: str, passages: Sequence[str]) -> float:
    """The share of the text's sentences that a passage supports (see word_overlap.py), 0 to 1; 0 for an empty text."""
    claims = [text[first:last] for first, last in parts(text)]
    if not claims:
        return 0.0
    return sum(max((support(claim, one).share for one in passages), default=0.0) >= ENOUGH for claim in claims) / len(claims)


def rewards(answers: Sequence[GroundedAnswer]) -> list[float]:
    """`supported` of each answer by the `passages` of its row, a list of texts. Raises BadRequest for a row without them."""
    found = []
    for one in answers:
        passages = one.row.get("passages")
        if not isinstance(passages, list) or not all(isinstance(text, str) for text in passages):
            raise BadRequest("a row has no passages, which the reward grounded judges by; give a list of texts")
        found.append(supported(one.text, passages))
    return found
