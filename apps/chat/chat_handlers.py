"""How the Chat tab answers: a message, one that is edited, an answer that is wanted anew, a call that was allowed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.config import assets_dir
from mmgen.errors import BadRequest, Cancelled, MmgenError
from mmgen.pipelines.agent.mcp_tools import McpConnections
from mmgen.pipelines.agent.permissions import SCOPES
from mmgen.pipelines.assistant import Assistant
from mmgen.pipelines.language import content_parts
from mmgen.runtime import Runtime

from ..live_runs import LiveRuns
from ..model_chooser import ModelChooser
from ..page_stores import PageStores
from ..sessions import Pages, Sessions, caller_of, error_toasts
from . import chat_html
from .answer_progress import AnswerProgress
from .chat_frame import ChatFrame, ChatFrames
from .conversation_handlers import user_of

EVERY = 0.12  # seconds between two looks at an answer that grows
LONGEST_TURN = 600.0  # seconds
SAMPLE_QUESTION = "How far could the light at Cordouan be seen?"
Frames = Iterator[tuple[Any, ...]]


@dataclass(frozen=True)
class TurnChoice:
    """What the switches beside the message box say."""

    tools: Sequence[str]  # of mmgen's own
    mcp: Sequence[str]  # of MCP servers, by `McpTool.id`
    store: str | None
    model: str | None

    @property
    def switches(self) -> list[str]:
        return [*self.tools, *(["mcp"] if self.mcp else [])]


class ChatHandlers:
    """One page's."""

    def __init__(
        self,
        rt: Runtime,
        stores: PageStores,
        chooser: ModelChooser,
        pages: Pages,
        frames: ChatFrames,
        image_model: str | None,
        mcp: McpConnections | None = None,
    ) -> None:
        """`mcp`: the servers whose tools may be switched on."""
        self.rt, self.stores, self.chooser, self.image_model = rt, stores, chooser, image_model
        self.frames, self.conversations, self.default = frames, frames.conversations, rt.config.text
        self.mcp = mcp or McpConnections(())
        self.sessions, self.runs = Sessions(pages), LiveRuns(pages, len(ChatFrame._fields))

    def send(
        self, said: Mapping[str, Any] | str | None, edited: int, current: str, choice: TurnChoice, http: gr.Request
    ) -> Frames:
        """The message goes into the conversation at once; its answer takes its place there when it is found.

        edited: the number of the message in whose place it stands, in a branch: the conversation stays as it was; 0: none.
        """
        user = user_of(http)
        with error_toasts():
            made, message = self._assistant(choice, http), _message(said)
            if edited and current:
                before = self.conversations.messages(user, current)[edited - 1]
                message = _with_images_of(before, message)
                current = self.conversations.branch_before(user, current, edited).id
            elif not current:
                current = self.conversations.make(user).id
            self.conversations.add(user, current, message)
        yield from self._start(made, user, current, choice, (), http)

    def example(self, said: str, choice: TurnChoice, http: gr.Request) -> Frames:
        """An example of the empty page; one that asks the sample documents adds them first where the store has none."""
        if said == SAMPLE_QUESTION:
            with error_toasts():
                if not self.stores.documents(choice.store, http):
                    self.stores.rag(choice.store, http, "stores:write").add(assets_dir() / "sample")
        yield from self.send(said, 0, "", choice, http)

    def edit(self, number: int, current: str, http: gr.Request) -> ChatFrame:
        """A message of the user's goes back into the box."""
        with error_toasts():
            messages = self.conversations.messages(user_of(http), current)
            if not 1 <= number <= len(messages) or messages[number - 1]["role"] != "user":
                raise BadRequest(f"message {number} is none of yours; edit one that you wrote")
        text = chat_html.text_of(messages[number - 1]["content"])
        return ChatFrame(box={"text": text, "files": []}, edited=number, editing=gr.update(visible=True))

    def stop_editing(self) -> ChatFrame:
        return ChatFrame(box=None, edited=0, editing=gr.update(visible=False))

    def regenerate(self, number: int, current: str, choice: TurnChoice, http: gr.Request) -> Frames:
        """Another answer in the place of one, in a branch: the conversation stays as it was."""
        user = user_of(http)
        with error_toasts():
            messages = self.conversations.messages(user, current)
            if not 2 <= number <= len(messages) or messages[number - 2]["role"] != "user":
                raise BadRequest(f"message {number} is no answer to one of yours; regenerate an answer")
            made = self._assistant(choice, http)
            branch = self.conversations.branch_before(user, current, number).id
        yield from self._start(made, user, branch, choice, (), http)

    def decide(self, allowed: bool, current: str, choice: TurnChoice, http: gr.Request) -> Frames:
        """Calls that waited are run, or not."""
        user = user_of(http)
        with error_toasts():
            messages = self.conversations.messages(user, current)
            pending = messages[-1].get("pending") or []
        if not allowed or not pending:
            messages[-1] = {**messages[-1], "pending": [], "content": "Not called, as you wished."}
            self.conversations.replace_last(user, current, messages[-1])
            yield self.frames.kept(user, current)
            return
        with error_toasts():
            made = self._assistant(choice, http)
        yield from self._start(made, user, current, choice, pending, http)

    def _start(
        self, made: Assistant, user: str, current: str, choice: TurnChoice, approved: Sequence[Mapping[str, Any]],
        http: gr.Request,
    ) -> Frames:  # fmt: skip
        return self.runs.start(http, lambda _: self._answered(made, user, current, choice, approved, http))

    def _answered(
        self, made: Assistant, user: str, current: str, choice: TurnChoice, approved: Sequence[Mapping[str, Any]],
        http: gr.Request,
    ) -> Frames:  # fmt: skip
        messages, answer, looked = self.conversations.messages(user, current), AnswerProgress(), 0.0
        past = chat_html.transcript(messages[:-1] if approved else messages, acts=False)
        yield self.frames.started(user, current, past, answer.html())
        try:
            with self.sessions.request(http, "interactive") as request:
                model = self.chooser.checked("text", self.default, choice.model)
                for note in self.chooser.fetched("text", model, lambda: self.rt.text(model), request.check):
                    yield ChatFrame(live=chat_html.running([], note, "", []))
                calls = [{"tool": one["tool"], "arguments": one["arguments"]} for one in approved]
                for event in made.stream(
                    [_told(one) for one in messages], tools=choice.switches, approved=calls, timeout=LONGEST_TURN,
                    request=request,
                ):  # fmt: skip
                    answer.add(event)
                    if event.kind != "reply" and time.monotonic() - looked > EVERY:
                        looked = time.monotonic()
                        yield ChatFrame(live=answer.html())
            assert answer.reply is not None
            said = answer.reply
        except Cancelled:
            said = answer.ended(stopped="user")
        except MmgenError as why:
            said = answer.ended(error=str(why))
        finally:
            made.close()
        if approved:
            self.conversations.replace_last(user, current, said)
        else:
            self.conversations.add(user, current, said)
        yield self.frames.kept(user, current)

    def _assistant(self, choice: TurnChoice, http: gr.Request) -> Assistant:
        """Raises Forbidden for what the visitor's key is not for."""
        if (caller := caller_of(http)) is not None:
            for tool in ("calc", *choice.switches):
                caller.check(SCOPES[tool])
        where = self.stores.rag(choice.store, http).where if {"docs", "images"} & set(choice.tools) else None
        return Assistant(
            self.rt,
            model=self.chooser.checked("text", self.default, choice.model),
            store=None if where is None else str(where),
            image_model=self.image_model,
            connections=self.mcp.only(choice.mcp),
        )


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    """What the assistant reads of a kept message."""
    return {key: message[key] for key in ("role", "content", "images", "untrusted") if key in message}


def _message(said: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The user's, with attached images as data URLs. Raises BadRequest where it is empty, UnreadableFile for no image."""
    from mmgen.pipelines.agent.tool import ShownImage

    given = {"text": said or ""} if isinstance(said, str | None) else said
    text, files = str(given.get("text") or "").strip(), list(given.get("files") or ())
    if not text:
        raise BadRequest("the message is empty; write something")
    images = [
        ShownImage.of(Path(file if isinstance(file, str) else file["path"]).read_bytes(), "image").url for file in files[:4]
    ]
    return {"role": "user", "content": content_parts.with_images(text, images)}


def _with_images_of(before: Mapping[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """An edited message keeps the images of the one before, unless it has images itself."""
    if isinstance(before["content"], str) or not isinstance(message["content"], str):
        return message
    images = [part["image"] for part in before["content"] if part["type"] == "image"]
    return {**message, "content": content_parts.with_images(message["content"], images)}
