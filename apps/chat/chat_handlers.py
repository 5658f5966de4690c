"""What the Chat tab's buttons do: a message is answered with tools, conversations are kept. Not what stands where."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from mmgen.config import assets_dir
from mmgen.errors import Cancelled, MmgenError
from mmgen.pipelines.agent.permissions import SCOPES
from mmgen.pipelines.agent.reply import AssistantReply
from mmgen.pipelines.assistant import Assistant
from mmgen.pipelines.language import content_parts
from mmgen.runtime import Runtime
from mmgen.stores.conversations import Conversations

from ..live_runs import LiveRuns
from ..model_chooser import ModelChooser
from ..page_stores import PageStores
from ..sessions import LOCAL, Pages, Sessions, caller_of, error_toasts, key_of
from . import chat_html

EVERY = 0.12  # seconds between two looks at an answer that grows
LONGEST_TURN = 600.0  # seconds
SAMPLE_QUESTION = "How far could the light at Cordouan be seen?"


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


class ChatHandlers:
    """One page's."""

    def __init__(
        self,
        rt: Runtime,
        stores: PageStores,
        chooser: ModelChooser,
        pages: Pages,
        conversations: Conversations,
        image_model: str | None,
    ) -> None:
        self.rt, self.stores, self.chooser, self.image_model = rt, stores, chooser, image_model
        self.conversations, self.default = conversations, rt.config.text
        self.sessions, self.runs = Sessions(pages), LiveRuns(pages, len(ChatFrame._fields))

    def send(
        self, said: Mapping[str, Any] | str | None, current: str, tools: list[str], store: str | None, model: str | None,
        http: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        """The message goes into the conversation at once; its answer takes its place there when it is found."""
        with error_toasts():
            made, message = self._assistant(tools, store, model, http), _message(said)
            user = _user(http)
            if not current:
                current = self.conversations.make(user).id
            self.conversations.add(user, current, message)
        yield from self.runs.start(http, lambda _: self._answered(made, user, current, tools, (), http))

    def example(
        self, said: str, tools: list[str], store: str | None, model: str | None, http: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """An example of the empty page; one that asks the sample documents adds them first where the store has none."""
        if said == SAMPLE_QUESTION:
            with error_toasts():
                if not self.stores.documents(store, http):
                    self.stores.rag(store, http, "stores:write").add(assets_dir() / "sample")
        yield from self.send(said, "", tools, store, model, http)

    def decide(
        self, allowed: bool, current: str, tools: list[str], store: str | None, model: str | None, http: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Calls that waited are run, or not."""
        user = _user(http)
        with error_toasts():
            messages = self.conversations.messages(user, current)
            pending = messages[-1].get("pending") or []
        if not allowed or not pending:
            messages[-1] = {**messages[-1], "pending": [], "content": "Not called, as you wished."}
            self.conversations.replace_last(user, current, messages[-1])
            yield self._frame(user, current)
            return
        with error_toasts():
            made = self._assistant(tools, store, model, http)
        yield from self.runs.start(http, lambda _: self._answered(made, user, current, tools, pending, http))

    def _answered(
        self,
        made: Assistant,
        user: str,
        current: str,
        tools: list[str],
        approved: Sequence[Mapping[str, Any]],
        http: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        messages = self.conversations.messages(user, current)
        shown = messages[:-1] if approved else messages
        steps, images, text, doing, looked = list[Any](), list[Any](), "", "Thinking", 0.0
        start = ChatFrame(
            chat_html.transcript(shown), chat_html.running((), doing, "", ()), current, None, self._listing(user, current),
            gr.update(visible=False), "", gr.update(visible=False), gr.update(visible=True),
            self.conversations.get(user, current).name,
        )  # fmt: skip
        yield start
        said: dict[str, Any]
        try:
            with self.sessions.request(http, "interactive") as request:
                calls = [{"tool": one["tool"], "arguments": one["arguments"]} for one in approved]
                for event in made.stream(
                    [_told(one) for one in messages], tools=tools, approved=calls, timeout=LONGEST_TURN, request=request
                ):
                    if event.kind == "call":
                        doing = chat_html.call_text(event.value.tool, event.value.arguments)
                    elif event.kind == "progress":
                        of = f" {event.value.done} of {event.value.of}" if event.value.of else ""
                        doing = f"{event.value.text}{of}"
                    elif event.kind == "result":
                        steps, doing = [*steps, asdict(event.value)], "Thinking"
                    elif event.kind == "image":
                        images = [*images, asdict(event.value)]
                    elif event.kind == "text":
                        text, doing = text + event.value.text, ""
                    elif event.kind == "reply":
                        said = kept(event.value)
                    if event.kind != "reply" and time.monotonic() - looked > EVERY:
                        looked = time.monotonic()
                        yield ChatFrame(live=chat_html.running(steps, doing, text, images))
        except Cancelled:
            said = {"role": "assistant", "content": text, "steps": steps, "images": images, "stopped": "user"}
        except MmgenError as why:
            said = {"role": "assistant", "content": text, "steps": steps, "images": images, "error": str(why)}
        finally:
            made.close()
        if text and said.get("stopped") == "user" and steps:
            said["untrusted"] = True
        if approved:
            self.conversations.replace_last(user, current, said)
        else:
            self.conversations.add(user, current, said)
        yield self._frame(user, current)

    def new(self, http: gr.Request) -> tuple[Any, ...]:
        """An empty conversation, which is kept from its first message on."""
        return self._empty(_user(http))

    def open(self, chosen: str | None, http: gr.Request) -> tuple[Any, ...]:
        with error_toasts():
            return self._frame(_user(http), str(chosen)) if chosen else self._empty(_user(http))

    def search(self, words: str, current: str, http: gr.Request) -> Any:
        return self._listing(_user(http), current, words)

    def rename(self, name: str, current: str, http: gr.Request) -> tuple[Any, ...]:
        with error_toasts():
            self.conversations.rename(_user(http), current, name)
            return self._frame(_user(http), current)

    def branch(self, after: float, current: str, http: gr.Request) -> tuple[Any, ...]:
        """A copy of the conversation up to a message, which goes on by itself."""
        with error_toasts():
            made = self.conversations.branch(_user(http), current, int(after))
            return self._frame(_user(http), made.id)

    def delete(self, current: str, http: gr.Request) -> tuple[Any, ...]:
        with error_toasts():
            self.conversations.delete(_user(http), current)
            return self._empty(_user(http))

    def export(self, kind: str, current: str, http: gr.Request) -> str:
        """A file of the conversation, as Gradio hands it out."""
        from gradio.utils import get_upload_folder

        from mmgen.stores.conversations import as_json, as_markdown

        with error_toasts():
            user = _user(http)
            found, messages = self.conversations.get(user, current), self.conversations.messages(user, current)
        text = as_markdown(found, messages) if kind == "md" else as_json(found, messages)
        folder = Path(get_upload_folder()) / f"chat-{found.id}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = "".join(letter if letter.isalnum() else "-" for letter in found.name)[:60].strip("-") or "conversation"
        path = folder / f"{stem}.{kind}"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def listed(self, http: gr.Request) -> Any:
        return self._listing(_user(http), "")

    def stores_fresh(self, http: gr.Request) -> Any:
        return gr.update(choices=self.stores.names(http))

    def _assistant(self, tools: Sequence[str], store: str | None, model: str | None, http: gr.Request) -> Assistant:
        """Raises Forbidden for what the visitor's key is not for."""
        if (caller := caller_of(http)) is not None:
            for tool in ("calc", *tools):
                caller.check(SCOPES[tool])
        where = self.stores.rag(store, http).where if {"docs", "images"} & set(tools) else None
        reference = self.chooser.checked("text", self.default, model)
        return Assistant(self.rt, model=reference, store=None if where is None else str(where), image_model=self.image_model)

    def _frame(self, user: str, current: str) -> tuple[Any, ...]:
        """The conversation as it is kept."""
        messages, found = self.conversations.messages(user, current), self.conversations.get(user, current)
        pending = (messages[-1].get("pending") or []) if messages else []
        asks = "; ".join(f"{chat_html.call_text(one['tool'], one['arguments'])} - {one['asks']}" for one in pending)
        return ChatFrame(
            chat_html.transcript(messages), "", current, gr.skip(), self._listing(user, current),
            gr.update(visible=bool(pending)), asks, gr.update(visible=not messages), gr.update(visible=True), found.name,
        )  # fmt: skip

    def _empty(self, user: str) -> tuple[Any, ...]:
        shown, hidden = gr.update(visible=True), gr.update(visible=False)
        return ChatFrame("", "", "", None, self._listing(user, ""), hidden, "", shown, hidden, "")

    def _listing(self, user: str, current: str, words: str = "") -> Any:
        found = self.conversations.found(user, words)
        chosen = current if any(one.id == current for one in found) else None
        return gr.update(choices=[(one.name, one.id) for one in found], value=chosen)


def kept(reply: AssistantReply) -> dict[str, Any]:
    """A reply as a message of the conversation, with all that is shown of it."""
    said = dict(reply.messages[-1])
    names = ("steps", "citations", "pending")
    said |= {name: [asdict(one) for one in getattr(reply, name)] for name in names}
    said |= {
        "passages": list(reply.passages),
        "confidence": reply.confidence,
        "abstained": reply.abstained,
        "model": reply.model,
    }
    return said


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    """What the assistant reads of a kept message."""
    return {key: message[key] for key in ("role", "content", "images", "untrusted") if key in message}


def _message(said: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The user's, with attached images as data URLs. Raises BadRequest where it is empty, UnreadableFile for no image."""
    from mmgen.errors import BadRequest
    from mmgen.pipelines.agent.tool import ShownImage

    given = {"text": said or ""} if isinstance(said, str | None) else said
    text, files = str(given.get("text") or "").strip(), list(given.get("files") or ())
    if not text:
        raise BadRequest("the message is empty; write something")
    images = [
        ShownImage.of(Path(file if isinstance(file, str) else file["path"]).read_bytes(), "image").url for file in files[:4]
    ]
    return {"role": "user", "content": content_parts.with_images(text, images)}


def _user(http: gr.Request) -> str:
    return key_of(http) or LOCAL
