"""Attribution of a generated answer: each sentence with the passages that support it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmgen.ingest.sentences import sentences as spans_of
from mmgen.interfaces import Hit
from mmgen.pipelines.rag.word_overlap import ITEM, Support, support

ENOUGH = {"strict": 1.0, "cite": 0.6}
"""By grounding: the share of a sentence's content words that a passage has to contain to support it."""
MARKER = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
SPACE_BEFORE = re.compile(r"\s+(?=\[\d)|(?<=\d\])[ \t]*(?=\[\d)")
NO_SOURCE = "(no source)"


@dataclass(frozen=True)
class AnswerSentence:
    """A sentence of an answer. `sources`: numbers of the answer's citations, from 1; empty: no passage supports it."""

    text: str
    sources: tuple[int, ...] = ()


@dataclass(frozen=True)
class SupportedSentence:
    """A sentence and the passages that support it."""

    text: str
    by: dict[int, Support]  # index of a passage -> its quote


def split(text: str) -> list[tuple[str, list[int]]]:
    """Sentences without their [n] markers, each with the numbers of its markers. A marker after a full stop belongs to the
    sentence before it."""
    text = SPACE_BEFORE.sub("", text)
    found = []
    for start, end in spans_of(text):
        sentence = text[start:end]
        named = [int(number) for marker in MARKER.findall(sentence) for number in re.findall(r"\d+", marker)]
        bare = MARKER.sub("", sentence).strip()
        if any(character.isalnum() for character in ITEM.sub("", bare, count=1)):
            found.append((bare, list(dict.fromkeys(named))))
    return found


def checked(text: str, hits: Sequence[Hit], enough: float) -> list[SupportedSentence]:
    """Every sentence with its supporting passages: those of its markers that do support it, or else the best of all."""
    found = []
    for sentence, named in split(text):
        supports = {n: support(sentence, hit.passage.text, hit.passage.heading) for n, hit in enumerate(hits)}
        good = {n: one for n, one in supports.items() if one.share >= enough}
        kept = {number - 1: good[number - 1] for number in named if number - 1 in good}
        if not kept and good:
            best = max(good, key=lambda n: good[n].share)
            kept = {best: good[best]}
        found.append(SupportedSentence(sentence, kept))
    return found


def joined(sentences: Sequence[AnswerSentence], unsupported: str = "") -> str:
    """The sentences with their [n] markers, list items on lines of their own; `unsupported` is put after those without one."""
    text = ""
    for one in sentences:
        marks = "".join(f"[{number}]" for number in one.sources) or unsupported
        text += ("\n" if ITEM.match(one.text) else " ") + (f"{one.text} {marks}" if marks else one.text)
    return text.strip()
