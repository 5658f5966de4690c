"""Unanswerable questions made from answerable ones, and answerable ones made so that no trick tells them apart.

Each rule changes one thing, and checks that the sentence with the answer does not support the changed question too:

    entity    a name of the question by another of the same passage, or of one about something else
    number    a number or year likewise
    antonym   a word by its opposite ("before" by "after")
    negation  "did" by "didn't", and back
    word      a word that the answer's sentence also has, by one that stands in its place in other questions
    near      such a word by one of its kind, by a model's word embeddings, from the passage where there is one (near_words.py)
    removed   the question stays, the sentences that answer it are taken out of the passage
    renamed   a name is changed in question and passage alike: still answerable

After Rajpurkar et al. 2018 (SQuAD 2.0, table 2), whose workers made such changes by hand.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from mmgen.function_words import FUNCTION_WORDS
from mmgen.ingest.sentences import sentences
from mmgen.models.reader.antonyms import ANTONYMS
from mmgen.training.data.near_words import NearWords, drawn
from mmgen.training.data.qa_data import Question

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
NAME = re.compile(r"\b[A-Z][\w'’-]*(?:\.(?=\s[A-Z]))?(?:\s(?:of the|of|de|von|van|al)?\s?[A-Z][\w'’-]*)*")
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|hundred)\b")
AUXILIARY = re.compile(
    r"\b(did|does|do|was|is|are|were|could|has|have|had|would|should)(n't)?(?=\s)(?!\s+not\b)", re.IGNORECASE
)
NEGATED = re.compile(r"\b(not|no|never|without|none|nor|neither|unable|failed|except)\b|n['’]t\b", re.IGNORECASE)
BEFORE = frozenset({"in", "at", "from", "to", "by", "the", "of", "on"})
ASKING = frozenset("who whom whose what which when where why how many much long often name".split())  # noqa: SIM905


@dataclass
class WordPool:
    """What may take a word's place: words of other questions, and names and numbers of other passages."""

    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by the word before: "in" has places, years
    after: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))  # (word before, ending) -> words
    lower: set[str] = field(default_factory=set)  # words that are also written small: "The" is no name

    @classmethod
    def of(cls, questions: Sequence[Question]) -> WordPool:
        pool = cls()
        contexts = list(dict.fromkeys(q.context for q in questions))
        pool.lower = {word for text in contexts for word in WORD.findall(text) if word.islower()}
        pool.lower |= FUNCTION_WORDS
        for text in contexts:
            for before, name in pool.placed(text):
                pool.names[before].append(name)
        for question in questions:
            words = WORD.findall(question.text)
            for before, word in pairwise(words):
                if _swappable(word):
                    pool.after[before.lower(), _ending(word)].append(word)
        return pool

    def names_in(self, text: str) -> list[str]:
        """Names by their capitals."""
        return [name for _, name in self.placed(text)]

    def placed(self, text: str) -> list[tuple[str, str]]:
        """(the word before, a name), the word empty where it is none of BEFORE."""
        found = []
        for match in NAME.finditer(text):
            words = match.group().rstrip("'’-.").split()
            while words and words[0].lower() in self.lower and (len(words) > 1 or words[0].lower() in FUNCTION_WORDS):
                words = words[1:]
            if words and len(name := " ".join(words)) > 2 and name.lower() not in self.lower:
                before = text[: match.start()].rsplit(None, 1)[-1:] if text[match.start() - 1 : match.start()] == " " else []
                found.append((before[0].lower() if before and before[0].lower() in BEFORE else "", name))
        return found

    def some(self, before: str, rng: random.Random, most: int = 20) -> Iterator[str]:
        """Names that stand behind the same word."""
        names = self.names.get(before) or self.names.get("") or []
        for _ in range(most if names else 0):
            yield rng.choice(names)


def _swappable(word: str) -> bool:
    return word.islower() and len(word) > 2 and word not in FUNCTION_WORDS and word not in ASKING and word not in ANTONYMS


def _ending(word: str) -> str:
    return next((ending for ending in ("ing", "ed", "ion", "ly", "er", "s") if word.endswith(ending)), "")


def has(text: str, words: str) -> bool:
    """Whether the words stand in the text as they are, without regard to case."""
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE) is not None


def put(text: str, old: str, new: str) -> str:
    """The text with other words in place of some."""
    return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, text)


def evidence(question: Question) -> str:
    """The sentences of the passage that hold a reference answer."""
    spans = [(s, s + len(a)) for s, a in zip(question.starts, question.answers, strict=True) if s >= 0]
    parts = sentences(question.context)
    return " ".join(question.context[a:b] for a, b in parts if any(a < end and b > start for start, end in spans))


def unanswerable(question: Question, pool: WordPool, rng: random.Random, near_words: NearWords | None = None) -> list[Question]:
    """At most one question of each kind; `answers` stay as what is plausible but wrong, `kind` says what was changed. "near"
    is made where there are `near_words`."""
    near = evidence(question)
    if not near:
        return []
    texts = {
        "entity": _entity(question, near, pool, rng),
        "number": _number(question, near, rng),
        "antonym": _antonym(question, near, rng),
        "negation": _negation(question, near),
        "word": _word(question, near, pool, rng),
        "near": _near(question, near, near_words, rng) if near_words else None,
    }
    made = [replace(question, text=text, kind=kind) for kind, text in texts.items() if text and text != question.text]
    return [*made, *_removed(question)]


def _entity(question: Question, near: str, pool: WordPool, rng: random.Random) -> str | None:
    ours = [(before, name) for before, name in pool.placed(question.text) if has(question.context, name)]
    if not ours:
        return None
    before, old = rng.choice(ours)
    answers = " ".join(question.answers)
    size = len(old.split())

    def fits(name: str) -> bool:
        shares = set(name.lower().split()) & set(f"{question.text} {near} {answers}".lower().split())
        return abs(len(name.split()) - size) < 2 and not shares and name.lower() not in near.lower()

    inside = [name for name in dict.fromkeys(pool.names_in(question.context)) if fits(name)]
    if inside and rng.random() < 0.6:
        return put(question.text, old, rng.choice(inside))
    for name in pool.some(before, rng):
        if fits(name) and not has(question.context, name):
            return put(question.text, old, name)
    return None


def _number(question: Question, near: str, rng: random.Random) -> str | None:
    ours = [m.group() for m in NUMBER.finditer(question.text) if has(question.context, m.group())]
    if not ours:
        return None
    old = rng.choice(ours)
    every = [m.group() for m in NUMBER.finditer(question.context)]
    others = [n for n in every if not has(near, n) and len(n) == len(old) and n.isdigit() == old.isdigit()]
    if others and rng.random() < 0.5:
        return put(question.text, old, rng.choice(others))
    if not old.isdigit():
        return None
    new = str(max(1, int(old) + rng.choice((-1, 1)) * rng.randint(1, 12 if len(old) == 4 else max(2, int(old[:6]) // 2))))
    return None if has(near, new) else put(question.text, old, new)


def _antonym(question: Question, near: str, rng: random.Random) -> str | None:
    pairs = [(w, o) for w in WORD.findall(question.text) for o in ANTONYMS.get(w, ()) if not has(near, o)]
    return put(question.text, *rng.choice(pairs)) if pairs else None


def _negation(question: Question, near: str) -> str | None:
    if NEGATED.search(near):
        return None
    if NEGATED.search(question.text):
        bare = re.sub(r"n['’]t\b|\s(?:not|never)\b", "", question.text, count=1)
        return bare if bare != question.text and not NEGATED.search(bare) else None
    return AUXILIARY.sub(r"\1n't", question.text, count=1)


def _word(question: Question, near: str, pool: WordPool, rng: random.Random) -> str | None:
    words = WORD.findall(question.text)
    places = [n for n, word in enumerate(words) if n and _swappable(word) and word[:5].lower() in near.lower()]
    rng.shuffle(places)
    for place in places:
        others = pool.after.get((words[place - 1].lower(), _ending(words[place])), [])
        for other in (rng.choice(others) for _ in range(8) if others):
            known = f"{near} {question.text}".lower()
            if other[:5].lower() not in known and (has(question.context, other) or rng.random() < 0.5):
                return put(question.text, words[place], other)
    return None


def _near(question: Question, near: str, words: NearWords, rng: random.Random) -> str | None:
    asked = WORD.findall(question.text)
    lower = [word.lower() for word in asked]
    places = [n for n, w in enumerate(lower) if n and len(w) > 2 and w not in FUNCTION_WORDS | ASKING and w[:5] in near.lower()]
    rng.shuffle(places)
    answers = {word.lower()[:5] for answer in question.answers for word in WORD.findall(answer)}
    avoid = {word[:5] for word in [*lower, *WORD.findall(near.lower())]} | answers
    passage = [word for word in dict.fromkeys(WORD.findall(question.context.lower())) if word not in FUNCTION_WORDS]
    for place in places[:3]:
        if new := drawn(asked[place], words, passage, avoid, rng):
            return put(question.text, asked[place], new)
    return None


def _removed(question: Question) -> list[Question]:
    """The question over its passage without the sentences that hold an answer, where at least two are left."""
    answers = [answer.lower() for answer in question.answers]
    parts = [question.context[a:b] for a, b in sentences(question.context)]
    kept = [part for part in parts if not any(answer in part.lower() for answer in answers)]
    spans = [(s, s + len(a)) for s, a in zip(question.starts, question.answers, strict=True) if s >= 0]
    whole = all(question.context[s:e] in "".join(parts) for s, e in spans)
    text = "".join(kept)
    if len(kept) < 2 or not whole or any(answer in text.lower() for answer in answers):
        return []
    return [replace(question, context=text, starts=[-1] * len(question.answers), kind="removed")]


def renamed(question: Question, pool: WordPool, rng: random.Random) -> Iterator[Question]:
    """The question with one of its names changed in the passage too, answers included: as answerable as before."""
    ours = [(before, name) for before, name in pool.placed(question.text) if has(question.context, name)]
    if not ours:
        return
    before, old = rng.choice(ours)
    new = next(pool.some(before, rng), old)
    if has(question.context, new) or any(has(answer, old) for answer in question.answers):
        return
    context, cuts = question.context, [m.start() for m in re.finditer(rf"(?<!\w){re.escape(old)}(?!\w)", question.context)]
    starts = [s if s < 0 else s + (len(new) - len(old)) * sum(cut < s for cut in cuts) for s in question.starts]
    changed = replace(question, text=put(question.text, old, new), context=put(context, old, new), starts=starts)
    if all(s < 0 or changed.context.startswith(a, s) for s, a in zip(starts, question.answers, strict=True)):
        yield changed
