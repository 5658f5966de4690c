"""Answers as a sentence: a language model puts what the reader found into the words of the question.

While it writes, a regular expression gives it the question's words in their order, in the forms that the evidence has of them,
and a few function words between them, and demands the found span to the letter; so it cannot say anything else of the evidence,
rightly or wrongly.
Then the sentence is checked. Numbers and names are those of the evidence: the passage in which the span was found, with its
headings. Where no sentence holds, the quote itself is the answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.ingest.sentences import sentences
from mmgen.interfaces import Hit
from mmgen.pipelines.chat import written
from mmgen.pipelines.language import reasoning
from mmgen.pipelines.language.text_pipeline import requested
from mmgen.pipelines.rag.answer import Answer, Citation
from mmgen.pipelines.rag.followups.english import lemma
from mmgen.pipelines.rag.sentence_citations import AnswerSentence
from mmgen.pipelines.rag.sentence_spans import sentence_around
from mmgen.pipelines.rag.word_overlap import FUNCTION, NEGATIONS, WORD, ContentWords, fold
from mmgen.pipelines.streaming import Event
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient

DEFAULT_MODEL = "embedded:smollm2"
TASK = "Answer the question in one short, complete sentence. Use the words of the question."
VERBS, PREPOSITIONS = "is|are|was|were|has|had|have", "as|at|by|for|from|in|of|on|to|with|and"
GLUE = f"(?: (?:{VERBS}))?(?: (?:{PREPOSITIONS}))?(?: the)?"
"""Function words that may stand before any word: they state nothing. "A" stands where the evidence or the question has it."""
QUALIFIERS = frozenset(
    """about above after almost approximately around before below between early every except exactly fewer half just last late
    least less mid more most nearly never no not nothing only over per roughly since some than under until up
    without""".split()  # noqa: SIM905  a list of words
)
"""Words before a span that belong to what it says."""
LINKS = frozenset("a an at by from in of or the to".split())  # noqa: SIM905
"""Words that can stand between those and the span."""
ASKING = frozenset("what who whom whose which when where why how do does did many much name kind type".split())  # noqa: SIM905
ASKING |= frozenset(map(fold, ASKING))
"""Words that ask, and have no place in an answer; also without an s, as they are compared."""
BROKEN = re.compile(
    rf"\b(?:{VERBS}) (?:as|and|with)\b|\bthe (?:{VERBS}|{PREPOSITIONS}|along|up)\b"
    rf"|\b(?:{VERBS}) (?:{PREPOSITIONS}) the \w+ (?:{VERBS})\b",
    re.IGNORECASE,
)
"""Function words that no sentence has behind each other: "is as", "the of"."""
MOST_UNITS = 12
"""Content words of a question that are said."""
NUMBERED = re.compile(r"\w*\d(?:[\w.,:]*\w)?")
MOST_WORDS = 40
MOST_TOKENS = 60
ENOUGH = 0.7
"""Share of the question's content words that a sentence has to say."""
MOST_SPAN = 15
"""Words of a span that are said in a sentence."""


@dataclass(frozen=True)
class FoundSpan:
    """What the reader found, and where."""

    span: str  # to the letter, with the qualifiers before it
    sentence: str  # that holds it
    evidence: str  # the passage with its headings

    @classmethod
    def of(cls, citation: Citation, hit: Hit) -> FoundSpan:
        passage = hit.passage
        start, end = citation.start - passage.start, citation.end - passage.start
        first, last = sentence_around(passage.text, start, end)
        return cls(
            " ".join(passage.text[_qualified(passage.text, first, start) : end].split()),
            " ".join(passage.text[first:last].split()),
            f"{passage.heading}\n{passage.text}",
        )


def _qualified(text: str, first: int, start: int) -> int:
    """Where the span begins with the qualifiers before it: "before 1903", "at least ten"; "of the" alone is none."""
    words = list(re.finditer(r"\S+", text[first:start]))
    begin = start
    for word in reversed(words):
        low = word[0].lower()
        if low not in QUALIFIERS | LINKS:
            break
        if low in QUALIFIERS:
            begin = first + word.start()
    return begin


def say(
    client: TextClient, answer: Answer, finding: FoundSpan, confirmed: Callable[[str], bool], request: Request
) -> Iterator[Event]:
    """The answer as a sentence, generated greedily.

    Args:
        answer: the reader's, with its citations.
        confirmed: whether the reader finds the same span in a sentence.

    Yields:
        "text" events with the draft so far, not checked yet, then one "answer" event: with the sentence, or as it was with
        the reason in `quoted`.
    """
    from mmgen.runners.generation import TextPiece

    question = answer.standalone
    if len(finding.span.split()) > MOST_SPAN or finding.span == finding.sentence:
        yield Event("answer", replace(answer, quoted="the quote is a sentence by itself"))
        return
    lines = (TASK, finding.sentence, f"Question: {question}\nAnswer: {finding.span}")
    messages = [{"role": "user", "content": "\n\n".join(lines)}]
    prompt = written(client, messages, variables=reasoning.switch(client.model.template, False))
    params = TextParams(strategy="greedy", max_tokens=MOST_TOKENS, regex=grammar(finding, question), lookup=client.guesses)
    draft = ""
    for event in client.write(requested(client, prompt, params), request, seed=0):
        if isinstance(event, TextPiece):
            draft += event.text
            yield Event("text", draft.strip())
    text = draft.strip()
    reason = flaw(text, finding, question)
    if not reason and not confirmed(text):
        reason = "the model's sentence does not say that this is the answer"
    if reason:
        yield Event("answer", replace(answer, quoted=reason))
        return
    sentence = AnswerSentence(text, (1,))
    yield Event("answer", replace(answer, text=text, sentences=[sentence], style="sentence", model=client.reference))


def grammar(finding: FoundSpan, question: str) -> str:
    """Sentences with the question's content words in their order and the span between any two, as a regular expression.

    Before each word a few function words may stand. Names and numbers have to be said, other words can be left out.
    """
    known = " ".join(f"{finding.sentence} {question}".lower().split())
    words = [({*forms, *_with_articles(forms, known)}, said) for forms, said in vocabulary(finding, question)]
    units, plain = [_unit(forms, said) for forms, said in words], finding.span.rstrip(".")
    capital, span = re.escape(plain[:1].upper() + plain[1:]), _any_of({plain, *_with_articles({plain}, known)})
    ways = [f"{capital},?{''.join(units)}"]
    if words:
        first = {f"{opening}{form}" for form in words[0][0] for opening in ("", "the ")}
        ways.append(_any_of({form[:1].upper() + form[1:] for form in first}) + _with_span(units[1:], span))
    return f"(?:{'|'.join(ways)})\\."


def _unit(forms: Collection[str], said: bool) -> str:
    return f"(?:{GLUE} {_any_of(forms)})" + ("" if said else "?")


def _with_span(units: Sequence[str], span: str) -> str:
    """The units with the span before, between or behind them."""
    here = f"{GLUE} {span}"
    if not units:
        return here
    return f"(?:{here}{''.join(units)}|{units[0]}{_with_span(units[1:], span)})"


def _with_articles(forms: Collection[str], known: str) -> set[str]:
    """Those that stand behind "a" or "an" in what is known, with it."""
    return {f"{article} {form}" for form in forms for article in ("a", "an") if f" {article} {form.lower()}" in f" {known}"}


def _any_of(words: Collection[str]) -> str:
    return "(?:" + "|".join(map(re.escape, sorted(words))) + ")"


def vocabulary(finding: FoundSpan, question: str) -> list[tuple[set[str], bool]]:
    """The question's content words in order, each with its forms in the sentence of the evidence, and whether it is a name or a
    number. One of these, or a negation, is among them only where the evidence has it.
    """
    around = [word for word in _bare(finding.sentence) if fold(word) not in FUNCTION]
    units: list[tuple[set[str], bool]] = []
    degree = _degree(question)
    for number, word in enumerate(_bare(question)):
        own = word.lower() if number == 0 else word
        strict = own[0].isupper() or any(character.isdigit() for character in own) or fold(own) in NEGATIONS
        if (
            fold(own) in FUNCTION | ASKING | degree
            or (strict and own.removesuffix("'s") not in finding.evidence)
            or fold(own) in map(fold, finding.span.split())
        ):
            continue
        forms = {own} if strict else {own, *(one for one in around if _stem(one) == _stem(own))}
        units.append((forms, strict))
    return units[:MOST_UNITS]


def _degree(question: str) -> set[str]:
    """The word behind "how", which the span says: "how large is it?" """
    how = re.match(r"\W*how (\w+)", question, re.IGNORECASE)
    return {fold(how[1])} if how else set()


def _stem(word: str) -> str:
    """A verb's bare form; otherwise the word without the endings of regular verbs and nouns."""
    folded = fold(word)
    if (base := lemma(folded)) != folded:
        return base
    return re.sub(r"(?:ing|ed|es|e|s)$", "", folded) if len(word) > 4 else folded


def _bare(text: str) -> list[str]:
    """Words without the punctuation around them."""
    found = (word.strip("\"“”'‘’.,;:!?()[]*_`|") for word in text.split())
    return [word for word in found if any(character.isalnum() for character in word)]


def flaw(text: str, finding: FoundSpan, question: str) -> str:
    """What keeps a sentence from being the answer, in words; "" where nothing does."""
    if not text.endswith(".") or len(sentences(text)) != 1:
        return "the model did not end its sentence"
    if len(text.split()) > MOST_WORDS:
        return f"the model's sentence is longer than {MOST_WORDS} words"
    times = text.lower().count(finding.span.rstrip(".").lower())
    if times != 1:
        return "the model's sentence repeats the quote" if times else "the model's sentence lacks the quote"
    joints = len(re.findall(rf"\b(?:{VERBS})\b", text)) - len(re.findall(rf"\b(?:{VERBS})\b", f"{finding.span} {question}"))
    if BROKEN.search(text.replace(finding.span, "#")) or joints > 1:
        return "the model's sentence is none"
    said, there, asked = ContentWords.of(text), ContentWords.of(finding.evidence), ContentWords.of(question)
    if alien := sorted(said.content - there.content - asked.content):
        return f'"{alien[0]}" stands neither in the evidence nor in the question'
    strict = {word for word in said.needed if word in asked.content}
    if alien := sorted(word for word in said.needed - there.content if word in strict or word not in asked.content):
        return f'"{alien[0]}" does not stand in the evidence'
    if alien := sorted(set(NUMBERED.findall(text)) - set(NUMBERED.findall(finding.evidence))):
        return f'"{alien[0]}" does not stand in the evidence'  # "17" where it has "17th"
    counts = Counter(fold(word) for word in WORD.findall(text))
    if again := [word for word in said.content - ContentWords.of(finding.span).content if counts[word] > 1]:
        return f'the model\'s sentence says "{min(again)}" twice'
    if said.negated != ContentWords.of(finding.sentence).negated:
        return "the model's sentence is negated otherwise than the evidence"
    given = ContentWords.of(finding.span).content
    if lacking := sorted((asked.needed & there.content) - ASKING - said.content):
        return f'the model\'s sentence leaves out "{lacking[0]}" of the question'
    own = {_stem(word) for word in asked.content - ASKING - given - _degree(question)}
    if not own or len(own & {_stem(word) for word in said.content}) < ENOUGH * len(own):
        return "the model's sentence says too little of the question"
    return ""


def same(found: str, span: str) -> bool:
    """Whether two spans share most of what they say."""
    a, b = ({fold(word) for word in WORD.findall(text)} - FUNCTION for text in (found, span))
    return bool(a & b) and 2 * len(a & b) >= min(len(a), len(b))
