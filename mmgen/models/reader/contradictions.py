"""Signs in the answer's own sentence that it answers another question: "before the war" where "after" was asked, another year,
"not suitable" where "suitable" was asked.

Each sign needs both: what was asked is not said there, and another of its kind is. English.
"""

from __future__ import annotations

import re

from mmgen.models.reader.antonyms import ANTONYMS
from mmgen.models.reader.question_overlap import NEGATION, content_stems, stems

KINDS = [
    set(words.split())
    for words in (
        "morning afternoon evening night noon midnight",
        "monday tuesday wednesday thursday friday saturday sunday",
        "january february march april june july august september october november december",
        "spring summer autumn winter",
        "north south east west northeast northwest southeast southwest",
        "northern southern eastern western northeastern northwestern southeastern southwestern",
        "red blue green yellow black white orange purple brown pink grey",
        "first second third fourth fifth sixth seventh eighth ninth tenth",
        "father mother brother sister son daughter husband wife uncle aunt grandfather grandmother",
        "hourly daily weekly monthly yearly",
        "breakfast lunch dinner supper",
    )
]
KIND_OF = {word: number for number, words in enumerate(KINDS) for word in words}
WORD = re.compile(r"[^\W_]+(?:['’]t)?")
YEAR = re.compile(r"\b(?:1\d{3}|20\d{2})\b")
SPANNING = re.compile(r"\b(?:until|till|since|from|between|before|after|by|during|through)\b|\d{4}\s?[-–—/]", re.I)
"""A sentence that may speak of other years than it names."""
SENTENCE = re.compile(r"[.!?\n](?=\s|$)")
CLAUSE = re.compile(
    r"[.;:!?\n](?=\s|$)|,\s|\s(?:and|but|while)\s(?=(?:the|in|on|at|its?|they|she|he)\b)|\s(?:and|but|while)\s(?=[A-Z])"
)
UNIT = re.compile(r"\d\s?((?!\d)[^\W_]{2,}|[%€$£])")
"""What is counted or measured, behind its number."""
DENIAL = r"(?:not|no|never|without|\w+n['’]t|cannot)"
DENIED = re.compile(r"\b(?:not|no|never|without)\s(?:\w+ly\s)?\w{4,}|\b\w+n['’]t\s(?:\w+\s){0,4}?\w{4,}", re.I)
DENYING = re.compile(
    r"\b(?:un|in|im|dis)\w+|\b(?:fail|lack|refus|deni|except|instead|rather|without|unable|only|prevent)\w*", re.I
)
COUNTED = re.compile(r"\bhow many (?:\w+ )??(\w{3,}?)(?:ies|es|s)?\b", re.I)


def contradicted(question: str, passage: str, start: int, end: int) -> str:
    """Why the answer `passage[start:end]` is that of another question; empty where no sign says so."""
    sentence, clause = around(passage, start, end, SENTENCE), around(passage, start, end, CLAUSE)
    answer = passage[start:end]
    asked, said = _words(question), _words(sentence)
    if any(_other_kind(asked, _words(part), _words(answer)) for part in (sentence, clause)):
        return "it is of another kind than was asked"
    years = set(YEAR.findall(question)) if not SPANNING.search(sentence) else set()
    if years and (others := set(YEAR.findall(sentence)) - set(YEAR.findall(answer))) and not years & others:
        return "it is of another year"
    if _opposite(question, sentence, said - _words(answer)):
        return "the opposite was asked"
    if _denied(question, clause):
        return "it is denied there"
    if DENIED.search(question) and not NEGATION.search(sentence) and not DENYING.search(sentence):
        return "it is not denied there"
    if _of_another(content_stems(question), sentence, clause, answer):
        return "it is said of another"
    counted = COUNTED.search(question)
    if counted and answer.strip().isdigit() and re.search(rf"\b{re.escape(counted[1])}\w{{0,3}}\s$", passage[:start], re.I):
        return "it is the number of one, not how many there are"
    return ""


def around(text: str, start: int, end: int, cuts: re.Pattern[str]) -> str:
    """The part of the text between two cuts that holds `text[start:end]`."""
    first = max((cut.end() for cut in cuts.finditer(text, 0, start)), default=0)
    last = cuts.search(text, end)
    return text[first : last.start() if last else len(text)]


def _of_another(asked: set[str], sentence: str, clause: str, answer: str) -> bool:
    """Whether a number is said of something else: another part of the sentence has a number of that unit, and shares of the
    question's words one with the answer's part and has one that this lacks, which speaks of what was not asked: "a rowing boat
    costs 9 francs, a motor boat 38 francs"."""
    if not (unit := UNIT.search(answer)):
        return False
    own = content_stems(clause)
    for part in re.split(r"[,;]\s|\s(?:and|but|while|or)\s", sentence):
        if part in clause or not re.search(rf"\d\s?{re.escape(unit[1])}", part):
            continue
        other = content_stems(part)
        others = {word for word in own - other - asked if not word[0].isdigit()}
        if others and asked & own & other and asked & other - own:
            return True
    return False


def _other_kind(asked: set[str], said: set[str], answer: set[str]) -> bool:
    """Whether a word of a closed set was asked for, and another of that set is said beside the answer in its place."""
    beside = said - answer
    answered = {KIND_OF[word] for word in answer if word in KIND_OF}
    kinds = {KIND_OF[word] for word in asked if word in KIND_OF and word not in beside} - answered
    kept = {KIND_OF[word] for word in asked & beside if word in KIND_OF}
    return any(KIND_OF.get(word) in kinds - kept for word in beside)


def _opposite(question: str, sentence: str, beside: set[str]) -> bool:
    have = stems(sentence)
    return any(
        any(other in beside for other in ANTONYMS.get(word, ())) and stems(word).isdisjoint(have) for word in _words(question)
    )


def _denied(question: str, clause: str) -> bool:
    """Whether a word of the question stands in the clause once, with a denial before it, and the question denies nothing."""
    if NEGATION.search(question):
        return False
    meant = content_stems(question)
    for word in _words(question):
        if len(word) > 3 and not stems(word).isdisjoint(meant):
            places = re.findall(rf"\b{re.escape(word)}\b", clause, re.I)
            if len(places) == 1 and re.search(rf"\b{DENIAL}\s(?:\w+\s)?{re.escape(word)}\b", clause, re.I):
                return True
    return False


def _words(text: str) -> set[str]:
    """Lower case; of a closed set's words the singular."""
    out = set()
    for word in WORD.findall(text.lower()):
        out.add(word[:-1] if word[-1:] == "s" and word[:-1] in KIND_OF else word)
    return out
