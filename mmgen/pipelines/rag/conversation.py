"""What was asked and answered before a question, however the caller keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmgen.errors import BadRequest
from mmgen.pipelines.language import content_parts
from mmgen.pipelines.rag.answer import NOT_READ, NOT_THERE, Answer
from mmgen.pipelines.rag.followups.rewriter import Turn

MOST_TURNS = 50
"""The latest that are read."""
ROLES = ("user", "assistant", "system", "developer", "tool")
EXAMPLE = '{"role": "user", "content": "..."}'


def turns(history: Sequence[Any]) -> list[Turn]:
    """Questions with their answers, oldest first, from answers of rag-text or messages of a chat; system messages say nothing
    of what was asked and are passed over. What was not in the documents is no answer.

    Raises BadRequest for what is neither.
    """
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Sequence):
        raise BadRequest(f"history is {str(history)[:60]!r}; give a list of answers, or of messages such as {EXAMPLE}")
    found: list[Turn] = []
    for one in history:
        if isinstance(one, Answer):
            said = one.citations[0].quote if one.style == "sentence" else one.text
            found.append(Turn(one.question, "" if one.abstained else said))
            continue
        role, content = _message(one)
        if role == "user":
            found.append(Turn(content))
        elif role == "assistant" and found:
            found[-1] = Turn(found[-1].question, "" if content.startswith((NOT_THERE, NOT_READ)) else content)
    return found[-MOST_TURNS:]


def only_adds(asked: str, rewritten: str) -> bool:
    """Whether words were put into the question, and none was taken out: "the height" became "the height of the tower"."""
    words = iter(rewritten.lower().rstrip("?").split())
    return asked != rewritten and all(word in words for word in asked.lower().rstrip("?").split())


def messages_of(answer: Answer) -> list[dict[str, str]]:
    """The question and what `turns` reads of its answer, as messages."""
    (turn,) = turns([answer])
    return [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]


def question_and_history(question: str | None, messages: Sequence[Any] | None) -> tuple[str, list[Any]]:
    """What is asked, and what was said before: without a question the last message, which has to be the user's."""
    before = list(messages or ())
    if question is not None:
        return question, before
    if not before:
        raise BadRequest("there is no question; give question, or messages that end with the user's")
    role, content = _message(before[-1])
    if role != "user":
        raise BadRequest(f"the last message is the {role}'s; end with the user's question, or give question")
    return content, before[:-1]


def _message(one: Any) -> tuple[str, str]:
    if not isinstance(one, Mapping) or one.get("role") not in ROLES:
        raise BadRequest(f"{str(one)[:60]!r} in the history is no message; write {EXAMPLE}, with the role user or assistant")
    content = one.get("content") or ""
    if not isinstance(content, str | list | tuple):
        raise BadRequest(f"the content {str(content)[:60]!r} in the history is no text; write {EXAMPLE}")
    text = content if isinstance(content, str) else content_parts.text(content_parts.read(content))
    return str(one["role"]), text.strip()
