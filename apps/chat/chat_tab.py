"""The Chat tab, which opens first: conversations on the left, the one that is open, its message box and its switches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmgen.pipelines.agent.mcp_tools import McpConnections
from mmgen.runtime import Runtime
from mmgen.stores.conversations import Conversations

from .. import on_load
from ..model_chooser import ModelChooser
from ..page_stores import PageStores
from ..sessions import Pages, Shows
from ..store_handlers import StoreHandlers
from ..store_panel import StorePanel
from . import mcp_switches
from .chat_frame import ChatFrame, ChatFrames
from .chat_handlers import SAMPLE_QUESTION, ChatHandlers, TurnChoice
from .conversation_handlers import ConversationHandlers

EXAMPLES = (SAMPLE_QUESTION, "Draw a red apple", "What is 15% of 240?")
TOOLS = [("Documents", "docs"), ("Image search", "images"), ("Draw", "draw"), ("Calculator", "calc")]
FETCH = ("Web pages", "fetch")
SAVE = "() => setTimeout(() => document.querySelector('#chat-file')?.click(), 300)"
"""Hands out a file that was just made: Gradio's button hands out what it held before."""
ACT = "(_, ...rest) => [mmgenActed, ...rest]"
"""What a button at a message asks for: apps/web.js keeps it."""
EDITING = "<p class='notice'>Your message goes into a branch; this chat stays as it is.</p>"
WELCOME = (
    "<div class='empty chat-empty'><h2>What would you like to do?</h2><p>Chat about anything, ask your documents, find or draw "
    "images, calculate. Every step is shown, and answers from documents quote them.</p></div>"
)


@dataclass(frozen=True)
class ConversationPanel:
    """The left column."""

    new: Any
    words: Any
    listing: Any
    manage: Any
    name: Any

    @classmethod
    def built(cls) -> ConversationPanel:
        new = gr.Button("New chat", elem_id="chat-new", variant="secondary")
        words = gr.Textbox(
            placeholder="Search chats", label="Search chats", show_label=False, container=False, elem_id="chat-search"
        )
        listing = gr.Radio([], label="Chats", show_label=False, container=False, elem_id="chat-list")
        with gr.Accordion("This chat", open=False, visible=False, elem_id="chat-manage") as manage:
            name = gr.Textbox(label="Name", elem_id="chat-name", info="Enter renames the chat")
        return cls(new, words, listing, manage, name)


def tab(
    rt: Runtime,
    stores: PageStores,
    chooser: ModelChooser,
    pages: Pages,
    conversations: Conversations,
    image_model: str | None,
    fetch: bool,
    mcp: McpConnections,
) -> Shows:
    """Builds it -> what shows a reloaded page its conversation again."""
    frames = ChatFrames(conversations)
    chat, kept = ChatHandlers(rt, stores, chooser, pages, frames, image_model, mcp), ConversationHandlers(frames)
    current, edited = gr.State(""), gr.State(0)
    with gr.Row(elem_classes="columns", elem_id="chat"):
        with gr.Column(scale=1, min_width=230, elem_id="chat-side"):
            panel = ConversationPanel.built()
            with panel.manage:
                with gr.Row():
                    markdown = gr.Button("Save as Markdown", size="sm", elem_id="chat-md", min_width=90)
                    as_json = gr.Button("Save as JSON", size="sm", elem_id="chat-json", min_width=90)
                file = gr.DownloadButton("Save the export", elem_id="chat-file", elem_classes="unseen")
                delete = gr.Button("Delete chat", size="sm", variant="stop", elem_id="chat-delete")
        with gr.Column(scale=4, min_width=320, elem_classes="first"):
            with gr.Column(elem_id="chat-messages"):
                past = gr.HTML("", elem_id="chat-past", label="Messages")
                live = gr.HTML("", elem_id="chat-live")
                with gr.Column(elem_id="chat-empty") as empty:
                    gr.HTML(WELCOME)
                    with gr.Row(elem_classes="examples"):
                        examples = [gr.Button(text, size="sm", elem_classes="example") for text in EXAMPLES]
            with gr.Row(visible=False, elem_id="chat-asking", equal_height=True) as asking:
                question = gr.Textbox("", label="May this be called?", interactive=False, scale=4, elem_id="chat-question")
                allow = gr.Button("Allow", variant="primary", size="sm", scale=0, min_width=90, elem_id="chat-allow")
                refuse = gr.Button("Don't allow", size="sm", scale=0, min_width=110, elem_id="chat-refuse")
            with gr.Row(visible=False, elem_id="chat-editing", equal_height=True) as editing:
                gr.HTML(EDITING, padding=False)
                stop_editing = gr.Button("Cancel", size="sm", scale=0, min_width=90, elem_id="chat-stop-editing")
            with gr.Row(equal_height=True, elem_id="chat-compose"):
                box = gr.MultimodalTextbox(
                    placeholder="Message (Enter sends, Shift+Enter makes a new line)", label="Message", show_label=False,
                    file_types=["image"], file_count="single", max_lines=8, scale=4, elem_id="chat-box",
                )  # fmt: skip
                stop = gr.Button("Stop", scale=0, min_width=72, elem_id="chat-stop")
            tools = gr.CheckboxGroup(
                [*TOOLS, *([FETCH] if fetch else [])], value=[name for _, name in TOOLS], label="Tools", elem_id="chat-tools"
            )
            others = mcp_switches.switches(mcp)
            with gr.Row():
                model = chooser.dropdown("text", chat.default, "chat-model")
            with gr.Accordion("Documents", open=False, elem_id="chat-documents"):
                store = StorePanel.built(stores, StoreHandlers(stores, pages), "chat").store
            act, asked = gr.Button("Act", visible="hidden", elem_id="chat-act"), gr.Textbox(visible=False)
    outputs = [
        past, live, current, box, panel.listing, asking, question, empty, panel.manage, panel.name, edited, editing
    ]  # fmt: skip
    assert len(outputs) == len(ChatFrame._fields)
    wiring: dict[str, Any] = {"outputs": outputs, "show_progress": "hidden"}
    chosen = [tools, others, store, model]
    box.submit(_send(chat), [box, edited, current, *chosen], **wiring, trigger_mode="once")
    for button, text in zip(examples, EXAMPLES, strict=True):
        button.click(_example(chat, text), chosen, **wiring, trigger_mode="once")
    allow.click(_decide(chat, True), [current, *chosen], **wiring, trigger_mode="once")
    refuse.click(_decide(chat, False), [current, *chosen], **wiring)
    act.click(_act(chat, kept), [asked, current, *chosen], **wiring, trigger_mode="once", js=ACT)
    stop_editing.click(chat.stop_editing, None, **wiring)
    stop.click(chat.sessions.cancel, queue=False)
    panel.new.click(kept.new, None, **wiring)
    panel.listing.input(kept.open, panel.listing, **wiring)
    panel.words.change(kept.search, [panel.words, current], panel.listing, show_progress="hidden")
    panel.name.submit(kept.rename, [panel.name, current], **wiring)
    delete.click(kept.delete, current, **wiring)
    for download, kind in ((markdown, "md"), (as_json, "json")):
        exported = download.click(_export(kept, kind), current, file, show_progress="hidden")
        exported.then(None, js=SAVE)
    on_load.fill(panel.listing, kept.listed)
    return chat.runs.resume, None, outputs


def _send(chat: ChatHandlers) -> Any:
    def run(
        said: Any, edited: int, current: str, tools: list[str], mcp: list[str], store: str | None, model: str | None,
        http: gr.Request,
    ) -> Any:  # fmt: skip
        yield from chat.send(said, edited, current, TurnChoice(tools, mcp, store, model), http)

    return run


def _example(chat: ChatHandlers, text: str) -> Any:
    def run(tools: list[str], mcp: list[str], store: str | None, model: str | None, http: gr.Request) -> Any:
        yield from chat.example(text, TurnChoice(tools, mcp, store, model), http)

    return run


def _decide(chat: ChatHandlers, allowed: bool) -> Any:
    def run(current: str, tools: list[str], mcp: list[str], store: str | None, model: str | None, http: gr.Request) -> Any:
        yield from chat.decide(allowed, current, TurnChoice(tools, mcp, store, model), http)

    return run


def _act(chat: ChatHandlers, kept: ConversationHandlers) -> Any:
    def run(
        said: str, current: str, tools: list[str], mcp: list[str], store: str | None, model: str | None, http: gr.Request
    ) -> Any:
        """`said`: what is to be done with which message, as apps/web.js tells it."""
        act, number = said.split()[0], int(said.split()[1])
        if act == "edit":
            yield chat.edit(number, current, http)
        elif act == "branch":
            yield kept.branch(number, current, http)
        elif act == "regenerate":
            yield from chat.regenerate(number, current, TurnChoice(tools, mcp, store, model), http)

    return run


def _export(kept: ConversationHandlers, kind: str) -> Any:
    def run(current: str, http: gr.Request) -> str:
        return kept.export(kind, current, http)

    return run
