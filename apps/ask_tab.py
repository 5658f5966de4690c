"""The Ask tab: choose a store, add documents, ask, see quotes. Knows what stands where on the page."""

from __future__ import annotations

import gradio as gr

from . import answer_html
from .ask_handlers import AskHandlers, question_of
from .history_panel import HistoryPanel
from .model_chooser import ModelChooser
from .page_stores import PageStores
from .sessions import Pages, Shows
from .store_handlers import StoreHandlers
from .store_panel import StorePanel

EXAMPLES = [
    "How far could the light at Cordouan be seen?",
    "Who found the Antikythera mechanism?",
    "How long should the dough rest?",
]
GROUNDINGS = [("Exact quotes", "strict"), ("Cited sentences", "cite"), ("Free generation", "off")]
STYLES = [("Quotes", "quote"), ("A sentence by a language model", "sentence")]


def tab(stores: PageStores, past: HistoryPanel, chooser: ModelChooser, pages: Pages) -> Shows:
    """Builds it -> what shows a reloaded page its conversation again."""
    asked = AskHandlers(stores, past, chooser, pages)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            panel = StorePanel.built(stores, StoreHandlers(stores, pages), "ask")
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
