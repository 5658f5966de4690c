"""A constitution's principles, and the data made by them: revised answers, and pairs of answers that are judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from mmgen.config import Config
from mmgen.engine.job import Request
from mmgen.text_params import TextParams
from mmgen.training.eval.harness import scores

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient

JUDGED = """{question}

Question: {prompt}

A: {first}

B: {second}

Reply with the letter A or B alone."""
LETTERS = ("A", "B")


class Principle(Config):
    """What an answer should be like; {prompt}, {answer} and {critique} are filled in."""

    name: str
    critique: str  # asks what is wrong with an answer
    revision: str  # asks for a better one
    judge: str  # asks which of two answers is better
    check: str = ""  # a regular expression that finds what a good answer has

    @field_validator("check")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as why:
            raise ValueError(f"is no regular expression ({why})") from None
        return value

    def holds(self, answer: str) -> bool:
        """Whether the rule finds what it looks for; True without one."""
        return re.search(self.check, answer) is not None


class Constitution(Config):
    """configs/constitutions/*.yaml"""

    principles: list[Principle] = Field(min_length=1)

    def of(self, number: int) -> Principle:
        """They take turns over the prompts."""
        return self.principles[number % len(self.principles)]


@dataclass(frozen=True)
class Revision:
    """An answer on its way."""

    prompt: str
    answer: str
    critique: str
    revision: str


@dataclass(frozen=True)
class JudgedPair:
    """Two answers; `preferred` 0 or 1, None where the judge changed its mind with their order."""

    prompt: str
    answers: tuple[str, str]
    preferred: int | None


def answered(client: TextClient, questions: Sequence[str], max_tokens: int, temperature: float) -> list[str]:
    """What the model says to each question in a conversation of its own; the number of a question is its seed."""
    from mmgen.runners.generation import TextRequest

    params, request = TextParams(max_tokens=max_tokens, temperature=temperature), Request.new(priority="batch")
    asked = [client.model.encode_chat([{"role": "user", "content": one}]) for one in questions]
    handles = [client.submit(TextRequest(ids, params), request, seed) for seed, ids in enumerate(asked)]
    try:
        return [handle.result().texts[0].text.strip() for handle in handles]
    finally:
        request.cancel()


def revised(
    client: TextClient, constitution: Constitution, prompts: Sequence[str], max_tokens: int, temperature: float
) -> list[Revision]:
    """Answers, what the model finds wrong with them, and better ones."""
    rules = [constitution.of(number) for number in range(len(prompts))]
    answers = answered(client, prompts, max_tokens, temperature)
    asked = [rule.critique.format(prompt=p, answer=a) for rule, p, a in zip(rules, prompts, answers, strict=True)]
    critiques = answered(client, asked, max_tokens, temperature)
    rows = list(zip(rules, prompts, answers, critiques, strict=True))
    better = [rule.revision.format(prompt=p, answer=a, critique=c) for rule, p, a, c in rows]
    revisions = answered(client, better, max_tokens, temperature)
    return [Revision(p, a, c, r) for (_, p, a, c), r in zip(rows, revisions, strict=True)]


def judged(
    judge: TextClient, constitution: Constitution, prompts: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> list[JudgedPair]:
    """Which answer of each pair the judge prefers: the letter that it finds likelier, in both orders."""
    asked = []
    for number, (prompt, answers) in enumerate(zip(prompts, pairs, strict=True)):
        for first, second in (answers, answers[::-1]):
            question = JUDGED.format(question=constitution.of(number).judge, prompt=prompt, first=first, second=second)
            context = judge.model.encode_chat([{"role": "user", "content": question}])
            asked += [(context, judge.model.tokenizer.encode(letter).ids) for letter in LETTERS]
    found = [score for score, _ in scores(judge, asked)]
    told = []
    for number, (prompt, answers) in enumerate(zip(prompts, pairs, strict=True)):
        in_order, turned = ((found[at] > found[at + 1]) for at in (4 * number, 4 * number + 2))
        told.append(JudgedPair(prompt, answers, None if in_order == turned else int(turned)))
    return told
