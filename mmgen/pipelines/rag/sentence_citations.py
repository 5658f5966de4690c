"""A written answer, sentence by sentence, with the sources that hold. Knows texts and passages; not the model that wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmgen.ingest.sentences import sentences
from mmgen.interfaces import Hit
from mmgen.pipelines.rag.word_overlap import ITEM, Support, support

ENOUGH = {"strict": 1.0, "cite": 0.6}
"""Share of a sentence's content words that a passage must hold to be its source, by grounding."""
MARKER = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
SPACE_BEFORE = re.compile(r"\s+(?=\[\d)|(?<=\d\])[ \t]*(?=\[\d)")
NO_SOURCE = "(no source)"


@dataclass(frozen=True)
class AnswerSentence:
    """A sentence of an answer. `sources`: numbers of the answer's citations, from 1; none: no passage supports it."""

    text: str
    sources: tuple[int, ...] = ()


@dataclass(frozen=True)
class SupportedSentence:
    """A sentence with the passages, by their place from 0, that support it, each with its quote."""

    text: str
    by: dict[int, Support]


def split(text: str) -> list[tuple[str, list[int]]]:
    """Sentences without their markers, and the numbers that the markers name. A marker behind a full stop is the stop's."""
    text = SPACE_BEFORE.sub("", text)
    found = []
    for start, end in sentences(text):
        said = text[start:end]
        named = [int(number) for marker in MARKER.findall(said) for number in re.findall(r"\d+", marker)]
        bare = MARKER.sub("", said).strip()
        if any(character.isalnum() for character in ITEM.sub("", bare, count=1)):
            found.append((bare, list(dict.fromkeys(named))))
    return found


def checked(text: str, hits: Sequence[Hit], enough: float) -> list[SupportedSentence]:
    """Every sentence with the passages that support it: of those it names all that do, or else the best of all."""
    found = []
    for said, named in split(text):
        supports = {n: support(said, hit.passage.text, hit.passage.heading) for n, hit in enumerate(hits)}
        good = {n: one for n, one in supports.items() if one.share >= enough}
        kept = {number - 1: good[number - 1] for number in named if number - 1 in good}
        if not kept and good:
            best = max(good, key=lambda n: good[n].share)
            kept = {best: good[best]}
        found.append(SupportedSentence(said, kept))
    return found


def joined(said: Sequence[AnswerSentence], unsupported: str = "") -> str:
    """The sentences with their markers, items of a list on lines of their own; `unsupported` marks those without a source."""
    text = ""
    for one in said:
        marks = "".join(f"[{number}]" for number in one.sources) or unsupported
        text += ("\n" if ITEM.match(one.text) else " ") + (f"{one.text} {marks}" if marks else one.text)
    return text.strip()
