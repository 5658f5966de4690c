"""Answers of rag-text by a language model: numbered passages in the prompt, then a check of every sentence against them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.errors import TooLong
from mmgen.interfaces import Hit
from mmgen.pipelines.chat import written
from mmgen.pipelines.language import reasoning
from mmgen.pipelines.language.text_pipeline import USUAL, Prompt, requested
from mmgen.pipelines.rag.answer import NOT_THERE, Answer, Citation, cited
from mmgen.pipelines.rag.sentence_citations import ENOUGH, AnswerSentence, checked, joined
from mmgen.pipelines.rag.sentence_spans import parts
from mmgen.pipelines.streaming import Event
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient

TASK = (
    "Answer the question from the passages only, in short sentences. End each with the number of its passage, such as [1]. "
    f"If they do not answer it, say: {NOT_THERE}"
)


def write(client: TextClient, answer: Answer, request: Request) -> Iterator[Event]:
    """Generates an answer greedily, so that equal questions and passages give equal answers, and checks it.

    Args:
        answer: an abstention with the question, its grounding and its passages.

    Yields:
        "text" events with the whole unchecked draft so far, then one "answer" event.

    Raises:
        TooLong: the question and one sentence of the first passage exceed the model's context.
    """
    from mmgen.runners.generation import TextPiece

    prompt, hits = fitted(client, answer.standalone, answer.passages)
    wanted = requested(client, prompt, TextParams(strategy="greedy", lookup=client.guesses))
    draft = ""
    for event in client.write(wanted, request, seed=0):
        if isinstance(event, TextPiece):
            draft += event.text
            yield Event("text", _answer(draft, prompt))
    yield Event("answer", grounded(replace(answer, passages=hits, model=client.reference), _answer(draft, prompt)))


def _answer(draft: str, prompt: Prompt) -> str:
    """Without what the model thought before it; one whose template says nothing of that may think nevertheless."""
    return reasoning.split(draft, prompt.reasoning or reasoning.MARKERS[0], prompt.text)[1].strip()


def fitted(client: TextClient, question: str, hits: Sequence[Hit]) -> tuple[Prompt, list[Hit]]:
    """The prompt and its passages: the first ones that fit into the context along with an answer; if not even one fits, as
    many of its first sentences as do."""
    most = client.max_tokens - min(USUAL, client.max_tokens // 4)
    texts = [hit.passage.text for hit in hits]
    beginnings = [[texts[0][:end]] for _, end in parts(texts[0])][:-1]
    options = [*beginnings, *(texts[:count] for count in range(1, len(texts) + 1))]  # the shortest first
    fits = bisect_right(options, most, key=lambda option: len(prompted(client, question, option).ids))
    if not fits:
        raise TooLong(
            f"the question and one passage are {len(prompted(client, question, options[0]).ids)} tokens, {client.name} takes "
            f"{most} and an answer; shorten the question, or take a model with a longer context"
        )
    return prompted(client, question, options[fits - 1]), list(hits[: len(options[fits - 1])])


def prompted(client: TextClient, question: str, texts: Sequence[str]) -> Prompt:
    """The passages come before the question, so that prefix caching serves the next question about them."""
    numbered = [f"[{number}] {' '.join(text.split())}" for number, text in enumerate(texts, 1)]
    asked = "\n\n".join([TASK, *numbered, f"Question: {question}"])
    return written(client, [{"role": "user", "content": asked}], variables=reasoning.switch(client.model.template, False))


def grounded(answer: Answer, draft: str) -> Answer:
    """The answer with the sentences of the draft that its grounding keeps; unchanged, an abstention, if it keeps none."""
    if not draft or absent(draft):
        return answer
    if answer.grounding == "off":
        return replace(answer, text=draft, abstained=False)
    numbers: dict[Citation, int] = {}
    kept = []
    for one in checked(draft, answer.passages, ENOUGH[answer.grounding]):
        if absent(one.text) or (answer.grounding == "strict" and not one.by):
            continue
        citations = [cited(answer.passages[n], quote.start, quote.end) for n, quote in one.by.items()]
        sources = [numbers.setdefault(citation, len(numbers) + 1) for citation in citations]
        kept.append(AnswerSentence(one.text, tuple(dict.fromkeys(sources))))
    if not kept:
        return answer
    return replace(answer, text=joined(kept), citations=list(numbers), sentences=kept, abstained=False)


def absent(text: str) -> bool:
    """Whether a text is the abstention that the prompt asks for."""
    return text.strip(" \"'*[]0123456789.\n").casefold() == NOT_THERE.rstrip(".").casefold()
