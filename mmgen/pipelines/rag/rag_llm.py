"""rag-text by any causal language model: numbered passages in the prompt, and every sentence checked against them afterwards.

Knows what a prompt says and what an answer may keep; not how passages are found or tokens are chosen.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.errors import TooLong
from mmgen.interfaces import Hit
from mmgen.pipelines.chat import written
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
NO_THOUGHTS = "<think>\n\n</think>\n\n"
"""What templates of thinking models, Qwen3's among them, begin an answer with that is to come at once."""
THOUGHTS = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


def write(client: TextClient, answer: Answer, request: Request) -> Iterator[Event]:
    """`answer`: an abstention with its question, grounding and passages. Events: "text", all of the draft so far, unchecked;
    and at last the "answer". Greedy: the same question and passages give the same answer.

    Raises TooLong if the question and a sentence of the first passage do not fit into the model's context.
    """
    from mmgen.runners.generation import TextPiece

    prompt, hits = fitted(client, answer.question, answer.passages)
    wanted = requested(client, prompt, TextParams(strategy="greedy", lookup=client.model.lm.encoder is None))
    draft = ""
    for event in client.write(wanted, request, seed=0):
        if isinstance(event, TextPiece):
            draft += event.text
            yield Event("text", THOUGHTS.sub("", draft).strip())
    yield Event("answer", grounded(replace(answer, passages=hits, model=client.reference), THOUGHTS.sub("", draft).strip()))


def fitted(client: TextClient, question: str, hits: Sequence[Hit]) -> tuple[Prompt, list[Hit]]:
    """The prompt and the passages in it: as many of the first ones as leave room for the answer, or of a single one the
    sentences that do."""
    most = client.max_tokens - min(USUAL, client.max_tokens // 4)
    texts = [hit.passage.text for hit in hits]
    first = [[texts[0][:end]] for _, end in parts(texts[0])][:-1]
    longer = [*first, *(texts[:count] for count in range(1, len(texts) + 1))]  # the shortest first
    fits = bisect_right(longer, most, key=lambda some: len(prompted(client, question, some).ids))
    if not fits:
        raise TooLong(
            f"the question and one passage are {len(prompted(client, question, longer[0]).ids)} tokens, {client.name} reads "
            f"{most} beside its answer; ask it more shortly, or take a model with a longer context"
        )
    return prompted(client, question, longer[fits - 1]), list(hits[: len(longer[fits - 1])])


def prompted(client: TextClient, question: str, texts: Sequence[str]) -> Prompt:
    """The passages come before the question, so that the next question to them finds their keys and values."""
    numbered = [f"[{number}] {' '.join(plain(client, text).split())}" for number, text in enumerate(texts, 1)]
    asked = "\n\n".join([TASK, *numbered, f"Question: {plain(client, question)}"])
    prompt = written(client, [{"role": "user", "content": asked}])
    template = client.model.template
    if template and NO_THOUGHTS in template.text.replace("\\n", "\n"):
        text = prompt.text + NO_THOUGHTS
        return Prompt(text, client.model.tokenizer.encode(text).ids)
    return prompt


def plain(client: TextClient, text: str) -> str:
    """The text without the model's special tokens: a document cannot end its turn and speak as somebody else."""
    for token in client.model.tokenizer.fast.get_added_tokens_decoder().values():
        text = text.replace(token.content, " ") if token.special else text
    return text


def grounded(answer: Answer, draft: str) -> Answer:
    """The answer with what its grounding keeps of the draft, or as it is, an abstention, where that is nothing."""
    if not draft or absent(draft):
        return answer
    if answer.grounding == "off":
        return replace(answer, text=draft, abstained=False)
    numbers: dict[Citation, int] = {}
    said = []
    for one in checked(draft, answer.passages, ENOUGH[answer.grounding]):
        if absent(one.text) or (answer.grounding == "strict" and not one.by):
            continue
        citations = [cited(answer.passages[n], found.start, found.end) for n, found in one.by.items()]
        sources = [numbers.setdefault(citation, len(numbers) + 1) for citation in citations]
        said.append(AnswerSentence(one.text, tuple(dict.fromkeys(sources))))
    if not said:
        return answer
    return replace(answer, text=joined(said), citations=list(numbers), sentences=said, abstained=False)


def absent(text: str) -> bool:
    """Whether this is how the model was told to say that the passages do not answer."""
    return text.strip(" \"'*[]0123456789.\n").casefold() == NOT_THERE.rstrip(".").casefold()
