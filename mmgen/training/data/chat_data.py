"""Chat and instruction data from JSON lines, tokenized, with the loss mask on the assistant's tokens."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmgen.errors import BadRequest, UnreadableFile
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.text_model import TextModel
from mmgen.training.chunked_cross_entropy import IGNORED
from mmgen.training.data import text_files

TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}"
    "{{ eos_token if message.role == 'assistant' else '\n' }}{% endfor %}{{ 'Assistant:' if add_generation_prompt }}"
)
"""For models that have none. Answers begin with a space, which is a part of their first word's token."""

Messages = Sequence[Mapping[str, str]]
T = TypeVar("T")


@dataclass(frozen=True)
class ChatExample:
    """A conversation's tokens."""

    ids: list[int]
    learned: list[bool]  # loss mask: the assistant's tokens, including its end of turn


@dataclass(frozen=True)
class ChatBatch:
    """Padded conversations."""

    ids: Tensor  # (B, N)
    targets: Tensor  # (B, N) the next tokens, IGNORED outside the loss mask

    def to(self, device: torch.device) -> ChatBatch:
        return ChatBatch(self.ids.to(device), self.targets.to(device))


def collate(examples: Sequence[ChatExample]) -> ChatBatch:
    size = max(len(example.ids) for example in examples) - 1
    ids = torch.zeros(len(examples), size, dtype=torch.long)
    targets = torch.full((len(examples), size), IGNORED)
    for row, example in enumerate(examples):
        whole = torch.tensor(example.ids)
        ids[row, : len(whole) - 1] = whole[:-1]
        learned = torch.tensor(example.learned[1:])
        targets[row, : len(whole) - 1] = torch.where(learned, whole[1:], IGNORED)
    return ChatBatch(ids, targets)


def with_template(model: TextModel) -> TextModel:
    """The model, with a plain chat template if it has none."""
    if not model.template:
        end = model.tokenizer.fast.id_to_token(min(model.eos_ids)) if model.eos_ids else None
        model.template = ChatTemplate(TEMPLATE, {"eos_token": end or ""})
    return model


def conversations(path: Path) -> Iterator[list[dict[str, str]]]:
    """Rows with messages (role, content), with instruction, input and output, or with prompt and response."""
    for number, row in enumerate(text_files.rows(path), 1):
        yield messages_of(row, f"{path}, row {number}")


def messages_of(row: Mapping[str, Any], where: str) -> list[dict[str, str]]:
    if isinstance(row.get("messages"), list):
        try:
            return [{"role": str(one["role"]), "content": str(one["content"])} for one in row["messages"]]
        except (KeyError, TypeError):
            raise UnreadableFile(f"{where}: a message lacks role or content; each should have both") from None
    asked = row.get("instruction", row.get("prompt"))
    answer = row.get("output", row.get("response"))
    if not isinstance(asked, str) or not isinstance(answer, str):
        raise UnreadableFile(f"{where}: there are neither messages, nor instruction and output, nor prompt and response")
    more = f"\n\n{row['input']}" if row.get("input") else ""
    return [{"role": "user", "content": asked + more}, {"role": "assistant", "content": answer}]


def example_of(model: TextModel, messages: Messages) -> ChatExample:
    """Tokens of a conversation as the model's template writes it; an assistant's words are found in the text itself."""
    text, spans = model.render_chat(messages, add_generation_prompt=False), []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            before = model.render_chat(messages[:number], add_generation_prompt=True)
            after = model.render_chat(messages[: number + 1], add_generation_prompt=False)
            if not after.startswith(before) or not text.startswith(after):
                raise BadRequest(f"{model.name}'s template rewrites earlier messages; its answers cannot be told apart")
            spans.append((len(before), len(after)))
    tokens = model.tokenizer.encode(text)
    learned = [any(first <= start < last for first, last in spans) for start, _ in tokens.spans]
    return ChatExample(tokens.ids, learned)


def sample_examples(examples: Sequence[T], numbers: Iterable[int], seed: int) -> list[T]:
    """The examples at these positions of an endless sequence of epochs, each shuffled by the seed."""
    count = len(examples)
    return [examples[_order(count, number // count, seed)[number % count]] for number in numbers]


@lru_cache(maxsize=2)  # a batch can stand in two epochs
def _order(count: int, epoch: int, seed: int) -> list[int]:
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
