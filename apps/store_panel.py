"""A store beside a tab: chosen, filled, emptied, made, watched, deleted. Knows what stands where on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from . import answer_html, on_load
from .page_stores import PageStores
from .store_handlers import StoreHandlers

EVERY = 3.0  # seconds between two looks at whether another window changed the store


@dataclass(frozen=True)
class StorePanel:
    """Which documents are asked."""

    store: Any
    shelf: Any
    removing: Any  # names of documents that Remove takes out
    seen: Any  # the version of the store that is shown

    @classmethod
    def built(cls, stores: PageStores, handlers: StoreHandlers, name: str) -> StorePanel:
        """`name`: what the ids of its components begin with, as two tabs may have one."""
        store = gr.Dropdown(stores.names(), value=stores.default, label="Store", elem_id=f"{name}-store")
        files = gr.File(label="Add documents", file_count="multiple", height=120, elem_id=f"{name}-files")
        sample = gr.Button("Load sample documents", size="sm", elem_id=f"{name}-sample")
        shelf, seen = gr.HTML(answer_html.NO_DOCUMENTS, elem_id=f"{name}-shelf"), gr.State(())
        with gr.Accordion("Remove documents", open=False):
            removing = gr.Dropdown([], value=[], multiselect=True, label="Documents", elem_id=f"{name}-removing")
            remove = gr.Button("Remove", size="sm", elem_id=f"{name}-remove")
        with gr.Accordion("Manage stores", open=False):
            with gr.Row(equal_height=True):
                new = gr.Textbox(label="New store", placeholder="notes", elem_id=f"{name}-new-name", scale=3, min_width=120)
                make = gr.Button("Create", size="sm", elem_id=f"{name}-new", scale=1, min_width=80)
            if stores.local:
                folder = gr.Textbox(label="Watch a folder", placeholder="~/notes", elem_id=f"{name}-folder")
                watch = gr.Button("Watch", size="sm", elem_id=f"{name}-watch")
                watched = gr.HTML("", elem_id=f"{name}-watched")
                watch.click(handlers.watch, [store, folder], [watched, watch], show_progress="hidden")
                store.change(handlers.watched, [store, folder], [watched, watch], show_progress="hidden")
                folder.change(handlers.watched, [store, folder], [watched, watch], show_progress="hidden")
            sure = gr.Checkbox(label="Yes, delete the chosen store with all its documents", elem_id=f"{name}-sure")
            delete = gr.Button("Delete store", size="sm", variant="stop", elem_id=f"{name}-delete")
        panel, shown = cls(store, shelf, removing, seen), [shelf, removing, seen]
        files.upload(handlers.add, [store, files], [*shown, files], show_progress_on=shelf)
        sample.click(handlers.sample, store, shown, show_progress_on=shelf)
        remove.click(handlers.remove, [store, removing], shown, show_progress="hidden")
        make.click(handlers.make, new, [store, new], show_progress="hidden")
        delete.click(handlers.delete, [store, sure], [store, sure], show_progress="hidden")
        store.change(handlers.shown, store, shown, show_progress="hidden")
        on_load.fill(store, handlers.stores_fresh)
        gr.Timer(EVERY).tick(handlers.changed, [store, seen], shown, show_progress="hidden")
        return panel
