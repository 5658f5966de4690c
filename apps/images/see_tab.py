"""The Image search tab: search a store's images by text or image, and classify an image with given labels (zero-shot)."""

from __future__ import annotations

import gradio as gr

from .. import answer_html, on_load
from ..model_chooser import ModelChooser
from ..page_stores import PageStores
from ..sessions import Pages, Shows
from .see_handlers import NO_IMAGES, NOTHING_NAMED, SeeHandlers

EXAMPLES = ["a red fruit", "a smiling face", "something that flies"]
LABELS = "cat, dog, apple, rocket, smiling face"
KNOWS = (
    "<p class='facts'>embedded:emoji-clip knows drawings such as emoji. For photographs choose a CLIP or SigLIP model; what "
    "fits no label is told.</p>"
)


def tab(stores: PageStores, chooser: ModelChooser, pages: Pages) -> Shows:
    """Builds the tab -> what shows an opened page the store's images."""
    seeing = SeeHandlers(stores, chooser, pages)
    with gr.Row(elem_classes="areas"):
        with gr.Column(min_width=280, elem_classes="area-ask"):
            gr.HTML("<h2>Search images</h2>")
            store = gr.Dropdown(stores.names(), value=stores.default, label="Store", elem_id="see-store")
            text = gr.Textbox(label="Search by text", placeholder="a red fruit", elem_id="see-text")
            like = gr.Image(
                type="filepath", sources=["upload"], label="Search by image", height=130, buttons=["fullscreen"],
                elem_id="see-like",
            )  # fmt: skip
            with gr.Row():
                find = gr.Button("Search", variant="primary", elem_id="see-find")
                all_ = gr.Button("Show all", elem_id="see-all")
            gr.Examples(EXAMPLES, text)
        with gr.Column(min_width=320, elem_classes="area-made"):
            note = gr.HTML(answer_html.notice(NO_IMAGES), elem_id="see-note")
            found = gr.Gallery(
                show_label=False, columns=4, fit_columns=False, object_fit="contain", height="auto", format="png",
                interactive=False, buttons=["download", "fullscreen"], elem_id="see-found", elem_classes="pixels",
            )  # fmt: skip
            sources, picked = gr.State([]), gr.State(None)
            remove = gr.Button("Remove the chosen image from the store", size="sm", interactive=False, elem_id="see-remove")
        with gr.Column(min_width=280, elem_classes="area-options"):
            files = gr.File(label="Add images", file_count="multiple", file_types=["image"], height=130, elem_id="see-files")
            sample = gr.Button("Load sample images", size="sm", elem_id="see-sample")
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            gr.HTML(f"<h2>Classify an image (zero-shot)</h2>{KNOWS}")
            model = chooser.dropdown("image encoder", seeing.default, "see-model")
            given = gr.Image(
                type="filepath", sources=["upload"], label="Image", height=170, buttons=["fullscreen"], elem_id="see-given"
            )  # fmt: skip
            labels = gr.Textbox(
                LABELS,
                label="Labels",
                info="separated by commas; empty: the nearest words of a large vocabulary",
                elem_id="see-labels",
            )
            template = gr.Textbox("{}", label="Prompt template", info='such as "an image of a {}"')
            name = gr.Button("Classify", variant="primary", elem_id="see-name")
        with gr.Column(scale=2, min_width=320):
            bars = gr.HTML(NOTHING_NAMED, elem_id="see-bars")
    shown = [found, note, sources, picked, remove]
    files.upload(seeing.add, [store, files], [*shown, files], show_progress_on=note)
    sample.click(seeing.sample, store, shown, show_progress_on=note)
    gr.on([text.submit, find.click], seeing.find, [store, text, like], shown, show_progress_on=note)
    gr.on([all_.click, store.change], seeing.browse, store, shown, show_progress="hidden")
    found.select(seeing.chosen, sources, [picked, remove], show_progress="hidden")
    remove.click(seeing.remove, [store, picked], shown, show_progress="hidden")
    gr.on(
        [name.click, labels.submit, given.upload], seeing.name, [model, given, labels, template], bars, show_progress_on=bars,
        trigger_mode="always_last",
    )  # fmt: skip
    on_load.fill(store, seeing.stores_fresh)
    return seeing.browse, [store], shown
