"""The Ask tab: choose a store, add documents, ask, see quotes. Knows what stands where on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from . import answer_html
from .ask_handlers import AskHandlers, question_of
from .history_panel import HistoryPanel
from .model_chooser import ModelChooser
from .page_stores import PageStores
from .sessions import Pages, Shows
from .store_handlers import StoreHandlers

EXAMPLES = [
    "How far could the light at Cordouan be seen?",
    "Who found the Antikythera mechanism?",
    "How long should the dough rest?",
]
GROUNDINGS = [("Exact quotes", "strict"), ("Cited sentences", "cite"), ("Free generation", "off")]
STYLES = [("Quotes", "quote"), ("A sentence by a language model", "sentence")]
EVERY = 3.0  # seconds between two looks at whether another window changed the store


@dataclass(frozen=True)
class StorePanel:
    """The left column: which documents are asked."""

    store: Any
    shelf: Any
    removing: Any  # names of documents that Remove takes out
    seen: Any  # the version of the store that is shown

    @classmethod
    def built(cls, stores: PageStores, handlers: StoreHandlers) -> StorePanel:
        store = gr.Dropdown(stores.names(), value=stores.default, label="Store", elem_id="ask-store")
        files = gr.File(label="Add documents", file_count="multiple", height=120, elem_id="ask-files")
        sample = gr.Button("Load sample documents", size="sm", elem_id="ask-sample")
        shelf, seen = gr.HTML(answer_html.NO_DOCUMENTS, elem_id="ask-shelf"), gr.State(())
        with gr.Accordion("Remove documents", open=False):
            removing = gr.Dropdown([], value=[], multiselect=True, label="Documents", elem_id="ask-removing")
            remove = gr.Button("Remove", size="sm", elem_id="ask-remove")
        with gr.Accordion("Manage stores", open=False):
            with gr.Row(equal_height=True):
                name = gr.Textbox(label="New store", placeholder="notes", elem_id="ask-new-name", scale=3, min_width=120)
                make = gr.Button("Create", size="sm", elem_id="ask-new", scale=1, min_width=80)
            if stores.local:
                folder = gr.Textbox(label="Watch a folder", placeholder="~/notes", elem_id="ask-folder")
                watch = gr.Button("Watch", size="sm", elem_id="ask-watch")
                watched = gr.HTML("", elem_id="ask-watched")
                watch.click(handlers.watch, [store, folder], [watched, watch], show_progress="hidden")
                store.change(handlers.watched, [store, folder], [watched, watch], show_progress="hidden")
                folder.change(handlers.watched, [store, folder], [watched, watch], show_progress="hidden")
            sure = gr.Checkbox(label="Yes, delete the chosen store with all its documents", elem_id="ask-sure")
            delete = gr.Button("Delete store", size="sm", variant="stop", elem_id="ask-delete")
        panel, shown = cls(store, shelf, removing, seen), [shelf, removing, seen]
        files.upload(handlers.add, [store, files], [*shown, files], show_progress_on=shelf)
        sample.click(handlers.sample, store, shown, show_progress_on=shelf)
        remove.click(handlers.remove, [store, removing], shown, show_progress="hidden")
        make.click(handlers.make, name, [store, name], show_progress="hidden")
        delete.click(handlers.delete, [store, sure], [store, sure], show_progress="hidden")
        store.change(handlers.shown, store, shown, show_progress="hidden")
        store.attach_load_event(handlers.stores_fresh, None)
        gr.Timer(EVERY).tick(handlers.changed, [store, seen], shown, show_progress="hidden")
        return panel


def tab(stores: PageStores, past: HistoryPanel, chooser: ModelChooser, pages: Pages) -> Shows:
    """Builds it -> what shows a reloaded page its conversation again."""
    asked = AskHandlers(stores, past, chooser, pages)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            panel = StorePanel.built(stores, StoreHandlers(stores, pages))
        with gr.Column(scale=2, min_width=320, elem_classes="first"):
            history = gr.State([])
            said = gr.HTML(answer_html.EMPTY, elem_id="ask-answers")
            with gr.Row(equal_height=True):
                question = gr.Textbox(
                    placeholder="Ask your documents", label="Question", show_label=False, container=False, scale=4,
                    elem_id="ask-question",
                )  # fmt: skip
                go = gr.Button("Ask", variant="primary", scale=0, min_width=96, elem_id="ask-go")
                stop = gr.Button("Stop", scale=0, min_width=72, elem_id="ask-stop")
            gr.Examples(EXAMPLES, question, label="Example questions for the sample documents")
            with gr.Accordion("Options", open=False):
                grounding = gr.Radio(GROUNDINGS, value="strict", label="Grounding")
                style = gr.Radio(STYLES, value="quote", label="Style")
                model = chooser.dropdown("text", asked.default, "ask-model")
                k = gr.Slider(1, 20, 5, step=1, label="Passages retrieved (top k)")
                images = gr.Checkbox(label="Show related images of the store", elem_id="ask-images")
                clear = gr.Button("New conversation", size="sm", elem_id="ask-clear")
            earlier = past.panel("Question history", ["rag-text"], question_of, asked.reopened, history, [said, history])
    asking = [question, panel.store, grounding, k, history, style, model, images], [said, history, question]
    done = gr.on([question.submit, go.click], asked.ask, *asking, show_progress="hidden", trigger_mode="once")
    done.then(past.newer, earlier, earlier, show_progress="hidden")
    stop.click(asked.sessions.cancel, queue=False)
    clear.click(asked.cleared, None, asking[1], show_progress="hidden")
    return asked.runs.resume, None, asking[1]
