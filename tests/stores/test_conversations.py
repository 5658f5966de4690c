import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from mmgen.errors import BadRequest, MmgenError, NotFound, TooLarge
from mmgen.stores.conversations import Conversation, ConversationLimits, Conversations, as_json, as_markdown


@pytest.fixture
def kept(records_at: Path | str) -> Iterator[Conversations]:
    time = count(1)
    conversations = Conversations(records_at, ConversationLimits(3, 1000, 2000), clock=lambda: float(next(time)))
    yield conversations
    conversations.close()


def said(text: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": text}


def test_a_conversation_is_named_by_its_first_message(kept: Conversations) -> None:
    made = kept.make("ann")
    assert made.name == "New chat"
    kept.add("ann", made.id, said("How far  could the light\nbe seen?"), said("32 km", "assistant"))
    kept.add("ann", made.id, said("and now?"))
    assert kept.get("ann", made.id).name == "How far could the light be seen?"
    assert [one["content"] for one in kept.messages("ann", made.id)][1:] == ["32 km", "and now?"]
    kept.rename("ann", made.id, "Lights")
    assert kept.found("ann")[0].name == "Lights"
    with pytest.raises(BadRequest):
        kept.rename("ann", made.id, " ")


def test_search_in_names_and_messages(kept: Conversations) -> None:
    one, two = kept.make("ann", "Bees"), kept.make("ann", "Tea")
    kept.add("ann", one.id, said("what do queens eat?"), said("Royal jelly, l'été", "assistant"))
    kept.add("ann", two.id, said("how hot?"))
    assert [found.id for found in kept.found("ann")] == [two.id, one.id]
    assert [found.id for found in kept.found("ann", "queen")] == [one.id]
    assert [found.id for found in kept.found("ann", "ete royal")] == [one.id]
    assert [found.id for found in kept.found("ann", "tea")] == [two.id]
    assert kept.found("ann", 'x" OR "a') == [] and len(kept.found("ann", "%%")) == 2


def test_branches_cuts_and_replacements(kept: Conversations) -> None:
    made = kept.make("ann", "Bees")
    kept.add("ann", made.id, said("a"), said("b", "assistant"), said("c"), said("d", "assistant"))
    branch = kept.branch("ann", made.id, 2)
    assert branch.name == "Bees (branch)" and kept.messages("ann", branch.id) == [said("a"), said("b", "assistant")]
    kept.replace_last("ann", made.id, said("e", "assistant"))
    assert [one["content"] for one in kept.messages("ann", made.id)] == ["a", "b", "c", "e"]
    kept.cut("ann", made.id, 1)
    assert kept.messages("ann", made.id) == [said("a")] and kept.found("ann", "d") == []
    for wrong in (0, 2):
        with pytest.raises(BadRequest, match="has 1 messages"):
            kept.branch("ann", made.id, wrong)
        with pytest.raises(BadRequest, match="has 1 messages"):
            kept.branch_before("ann", made.id, wrong)


def test_branches_before_a_message_have_names_of_their_own(kept: Conversations) -> None:
    made = kept.make("ann", "Bees")
    kept.add("ann", made.id, said("a"), said("b", "assistant"))
    first = kept.branch_before("ann", made.id, 1)
    assert first.name == "Bees (branch)" and kept.messages("ann", first.id) == []
    second = kept.branch_before("ann", made.id, 2)
    assert second.name == "Bees (branch 2)" and kept.messages("ann", second.id) == [said("a")]
    kept.delete("ann", first.id)
    assert kept.branch("ann", second.id, 1).name == "Bees (branch)"


def test_anothers_conversation_is_unknown(kept: Conversations) -> None:
    made = kept.make("ann")
    for act in (kept.get, kept.messages, kept.delete):
        with pytest.raises(NotFound):
            act("bob", made.id)
    with pytest.raises(NotFound):
        kept.add("bob", made.id, said("hi"))
    assert kept.found("bob") == []
    kept.delete("ann", made.id)
    with pytest.raises(MmgenError, match="any more"):
        kept.get("ann", made.id)


def test_limits(kept: Conversations) -> None:
    made = [kept.make("ann", str(n)) for n in range(4)]
    assert [one.name for one in kept.found("ann")] == ["3", "2", "1"]
    with pytest.raises(TooLarge):
        kept.add("ann", made[3].id, said("x" * 1000))
    for one in made[1:]:
        kept.add("ann", one.id, said("x" * 900))
    assert [one.name for one in kept.found("ann")] == ["3", "2"], "the oldest made room"


def test_exports() -> None:
    conversation = Conversation("1", "Bees", 0.0, 0.0)
    reply = {
        **said("Royal jelly [1]", "assistant"), "steps": [{"call": {"tool": "docs"}, "summary": "bees.md"}],
        "citations": [{"quote": "jelly", "document": "/home/x/bees.md"}], "images": [{"name": "a.png", "data": "aGk="}],
    }  # fmt: skip
    text = as_markdown(conversation, [said("what?"), reply])
    assert text.startswith("# Bees\n\n## You\n\nwhat?\n\n## Assistant\n\nRoyal jelly [1]\n")
    assert '- [1] "jelly" - bees.md' in text and "- image: a.png" in text and "- docs: bees.md" in text
    assert json.loads(as_json(conversation, [said("what?"), reply]))["messages"][1]["images"][0]["data"] == "aGk="
