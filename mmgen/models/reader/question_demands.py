"""What some questions ask of an answer that a span alone does not show: that it holds now, is the most, a count or another.

A reader finds the span that looks like the answer and compares nothing; where the words around it do not make the comparison
themselves, an answer would be a guess. So it is where the span's own sentence speaks of something else; see contradictions.py.
English; what kind of answer is asked for, and of what it is said, in German, French and Spanish as well; see
answer_kinds.py, answer_subject.py.
"""

from __future__ import annotations

import re

from mmgen.function_words import FUNCTION_WORDS
from mmgen.models.reader.answer_kinds import asked_kind, is_kind
from mmgen.models.reader.answer_subject import of_another
from mmgen.models.reader.contradictions import SENTENCE, around, contradicted
from mmgen.models.reader.table_records import cell_at

NOW = re.compile(r"\b(?:now|nowadays|currently|current|today|these days|at present|latest|newest|most recent|still)\b", re.I)
ENDED = re.compile(
    r"\b(?:until|till|formerly|previously|used to|no longer|was|were|had|originally|initially|at first|in the past|former)\b",
    re.I,
)
STOPPED = re.compile(r"\b(?:was|were|had)\b.*\b(?:until|till)\b|\b(?:formerly|previously|used to|no longer)\b", re.I | re.S)
PRESENT = re.compile(r"^\W*(?:\w+\W+){1,2}(?:is|are|does|do|has|have)\b", re.I)
HOLDS = re.compile(r"\b(?:since|now|currently|today|is|are|has|have|latest|newest|recent|present)\b", re.I)
MOST = re.compile(
    r"\b(?:most(?! of\b)|least(?<!at least)|fewest|(?!(?:west|east|rest|test|best|guest|forest|interest|request|contest|"
    r"protest|harvest|conquest|invest|suggest|honest|modest|arrest|priest|chest|nest|quest|digest|tempest|latest|newest)s?\b)"
    r"\w{3,}est)\b"
)
COMPARED = re.compile(
    r"\b(?:most|least|fewest|best|worst|top|record|leading|maximum|minimum|main|major|majority|primary|peak|chief|mainly|mostly|"
    r"primarily|predominantly|dominant|prime|only|first|last|second|third|all-time|never|ever|than any|\w{3,}est|"
    r"more|\w{3,}er than)\b",
    re.I,
)
TOTAL = re.compile(r"\b(?:in total|altogether|in all|all together|combined)\b", re.I)
TOTALLED = re.compile(r"\b(?:total|totals|totalled|altogether|in all|all|combined|overall|together|sum)\b", re.I)
BUT = re.compile(r"\b(?:besides|apart from|aside from|other than|except(?: for)?|excluding|not counting)\s+([^,;?]+)", re.I)
CLAUSE = re.compile(r"[.;:!?\n](?=\s|$)|,\s(?=(?:and|but|while|since|until|in \d{4})\b)")


def unmet(question: str, passage: str, start: int, end: int) -> str:
    """Why the answer `passage[start:end]` may be another than what was asked for; empty where nothing speaks against it."""
    sentence, clause = around(passage, start, end, SENTENCE), around(passage, start, end, CLAUSE)
    if NOW.search(question) and ENDED.search(clause) and not HOLDS.search(clause):
        return "it was so, not that it is"
    if PRESENT.search(question) and STOPPED.search(clause) and not HOLDS.search(clause):
        return "it was so, not that it is"
    if MOST.search(question) and not COMPARED.search(sentence):
        return "nothing is compared there"
    kind = asked_kind(question)
    if not is_kind(kind, passage[start:end], cell_at(passage, start) or sentence):
        return f"it is no {kind}"
    if of_another(kind, question, passage, start, end):
        return f"it is the {kind} of another"
    if TOTAL.search(question) and not TOTALLED.search(sentence):
        return "nothing is added up there"
    left_out, said = BUT.search(question), _words(passage[start:end])
    if left_out and said and said <= _words(left_out[1]):
        return "it is what was left out"
    return contradicted(question, passage, start, end)


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if word not in FUNCTION_WORDS}
