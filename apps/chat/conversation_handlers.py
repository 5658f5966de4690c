"""What is done with conversations that are kept: opened, searched, renamed, branched, deleted, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.stores.conversations import as_json, as_markdown

from ..sessions import LOCAL, error_toasts, key_of
from .chat_frame import ChatFrame, ChatFrames


class ConversationHandlers:
    """One page's."""

    def __init__(self, frames: ChatFrames) -> None:
        self.frames, self.conversations = frames, frames.conversations

    def new(self, http: gr.Request) -> ChatFrame:
        """An empty conversation, which is kept from its first message on."""
        return self.frames.empty(user_of(http))

    def open(self, chosen: str | None, http: gr.Request) -> ChatFrame:
        with error_toasts():
            return self.frames.kept(user_of(http), str(chosen)) if chosen else self.new(http)

    def search(self, words: str, current: str, http: gr.Request) -> Any:
        return self.frames.listing(user_of(http), current, words)

    def rename(self, name: str, current: str, http: gr.Request) -> ChatFrame:
        with error_toasts():
            self.conversations.rename(user_of(http), current, name)
            return self.frames.kept(user_of(http), current)

    def branch(self, after: int, current: str, http: gr.Request) -> ChatFrame:
        """A copy of the conversation up to a message, which goes on by itself."""
        with error_toasts():
            made = self.conversations.branch(user_of(http), current, after)
            return self.frames.kept(user_of(http), made.id)

    def delete(self, current: str, http: gr.Request) -> ChatFrame:
        with error_toasts():
            self.conversations.delete(user_of(http), current)
            return self.new(http)

    def export(self, kind: str, current: str, http: gr.Request) -> str:
        """A file of the conversation, as Gradio hands it out."""
        from gradio.utils import get_upload_folder

        with error_toasts():
            user = user_of(http)
            found, messages = self.conversations.get(user, current), self.conversations.messages(user, current)
        text = as_markdown(found, messages) if kind == "md" else as_json(found, messages)
        folder = Path(get_upload_folder()) / f"chat-{found.id}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(letter if letter.isalnum() else "-" for letter in found.name)[:60].strip("-") or "conversation"
        path = folder / f"{stem}.{kind}"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def listed(self, http: gr.Request) -> Any:
        return self.frames.listing(user_of(http), "")


def user_of(http: gr.Request) -> str:
    """Whose conversations a page shows: its key's, or the machine's owner's."""
    return key_of(http) or LOCAL
