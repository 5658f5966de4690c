"""Pairs of answers, one of which is preferred, from JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmgen.errors import UnreadableFile
from mmgen.training.data import chat_data

Conversation = list[dict[str, str]]


def conversations(row: Mapping[str, Any], where: str) -> tuple[Conversation, Conversation]:
    """Rows with prompt, chosen and rejected, each a text or messages -> both conversations.

    Raises UnreadableFile for another row, or one whose answers are equal: it has nothing to teach.
    """
    prompt, both = row.get("prompt", []), (row.get("chosen"), row.get("rejected"))
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(asked, list) or any(not isinstance(one, str | list) for one in both):
        raise UnreadableFile(f"{where}: prompt, chosen and rejected should each be a text or messages")
    answers = [[{"role": "assistant", "content": one}] if isinstance(one, str) else one for one in both]
    chosen, rejected = (chat_data.messages_of({"messages": [*asked, *(part or [])]}, where) for part in answers)
    if chosen == rejected:
        raise UnreadableFile(f"{where}: chosen and rejected are equal; remove the row, or give another answer")
    return chosen, rejected
