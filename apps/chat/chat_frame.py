"""What the Chat tab shows of a conversation, as a value for each of its outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from mmgen.stores.conversations import Conversations

from . import chat_html


class ChatFrame(NamedTuple):
    """A value for each of the tab's outputs; gr.skip() leaves one as it is."""

    past: Any = gr.skip()  # HTML of the messages that are done
    live: Any = gr.skip()  # HTML of the answer that is under way
    current: Any = gr.skip()  # the conversation's id; "": none yet
    box: Any = gr.skip()  # what the message box holds
    listing: Any = gr.skip()  # the list of conversations
    asking: Any = gr.skip()  # the row that asks whether a call may run
    question: Any = gr.skip()  # what it asks
    empty: Any = gr.skip()  # the examples of a new conversation
    manage: Any = gr.skip()  # the panel of an existing conversation
    name: Any = gr.skip()  # the conversation's name in it
    edited: Any = gr.skip()  # the number of the message that is being edited; 0: none
    editing: Any = gr.skip()  # the row that says so


class ChatFrames:
    """Of the conversations that are kept."""

    def __init__(self, conversations: Conversations) -> None:
        self.conversations = conversations

    def kept(self, user: str, current: str) -> ChatFrame:
        """The conversation as it is kept. Raises NotFound."""
        messages, found = self.conversations.messages(user, current), self.conversations.get(user, current)
        pending = (messages[-1].get("pending") or []) if messages else []
        asks = "; ".join(f"{chat_html.call_text(one['tool'], one['arguments'])} - {one['asks']}" for one in pending)
        return ChatFrame(
            chat_html.transcript(messages), "", current, gr.skip(), self.listing(user, current),
            gr.update(visible=bool(pending)), asks, gr.update(visible=not messages), gr.update(visible=True), found.name,
            0, gr.update(visible=False),
        )  # fmt: skip

    def empty(self, user: str) -> ChatFrame:
        """Of a new conversation."""
        shown, hidden = gr.update(visible=True), gr.update(visible=False)
        return ChatFrame("", "", "", None, self.listing(user, ""), hidden, "", shown, hidden, "", 0, hidden)

    def started(self, user: str, current: str, past: str, live: str) -> ChatFrame:
        """While an answer is sought."""
        hidden = gr.update(visible=False)
        return ChatFrame(
            past, live, current, None, self.listing(user, current), hidden, "", hidden, gr.update(visible=True),
            self.conversations.get(user, current).name, 0, hidden,
        )  # fmt: skip

    def listing(self, user: str, current: str, words: str = "") -> Any:
        """The user's conversations in which the words stand, last used first."""
        found = self.conversations.found(user, words)
        chosen = current if any(one.id == current for one in found) else None
        return gr.update(choices=[(one.name, one.id) for one in found], value=chosen)
