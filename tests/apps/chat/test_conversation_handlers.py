import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from apps.chat.chat_frame import ChatFrames
from apps.chat.conversation_handlers import ConversationHandlers
from mmgen.stores.conversations import Conversations

BROWSER: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[ConversationHandlers]:
    conversations = Conversations(tmp_path)
    made = conversations.make("local", "Sums")
    conversations.add("local", made.id, {"role": "user", "content": "what is 3 * 4?"}, {"role": "assistant", "content": "12"})
    yield ConversationHandlers(ChatFrames(conversations))
    conversations.close()


def test_conversations_are_managed(kept: ConversationHandlers) -> None:
    current = kept.conversations.found("local")[0].id
    assert kept.open(current, BROWSER).past.count("<article") == 2 and kept.new(BROWSER).current == ""
    assert kept.rename("Products", current, BROWSER).name == "Products"
    branch = kept.branch(1, current, BROWSER)
    assert branch.name == "Products (branch)" and branch.past.count("<article") == 1
    assert kept.branch(2, branch.current and current, BROWSER).name == "Products (branch 2)"
    assert [name for name, _ in kept.search("12", "", BROWSER)["choices"]] == ["Products (branch 2)", "Products"]
    assert Path(kept.export("md", current, BROWSER)).read_text().startswith("# Products")
    assert json.loads(Path(kept.export("json", current, BROWSER)).read_text())["name"] == "Products"
    assert kept.delete(current, BROWSER).empty["visible"]
    with pytest.raises(gr.Error, match="no conversation"):
        kept.open(current, BROWSER)
    assert len(kept.listed(BROWSER)["choices"]) == 2
