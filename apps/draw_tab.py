"""The tab Draw: images from words, and from an image, watched while they are drawn. Knows what stands where on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmgen.runtime import Runtime

from . import image_options
from .draw_handlers import DrawHandlers, prompt_of
from .generation_state import HINT
from .history_panel import HistoryPanel
from .sessions import Sessions

EXAMPLES = [
    "a smiling cat with heart eyes",
    "three strawberries",
    "a volcano in noto style",
    "a crown on a blue background",
]
STYLES = [("Default", ""), ("noto", "noto"), ("twemoji", "twemoji")]
TASKS = ("txt2img", "img2img", "inpaint", "variations")
BEGIN = "<p class='facts'>Drop an image for image-to-image. Paint a mask over a part to inpaint only that part.</p>"
AGAIN = (
    "<p class='facts'>Drop a PNG that mmgen generated: it is generated again from its recipe and compared pixel by pixel. If "
    "it had an input image, drop that one too.</p>"
)


@dataclass(frozen=True)
class RequestPanel:
    """The left column: what is asked for."""

    prompt: Any
    go: Any
    stop: Any
    given: list[Any]  # what `DrawHandlers.draw` takes, in its order
    seed: Any
    canvas: Any
    beginning: Any  # the accordion around the canvas
    again: Any

    @classmethod
    def built(cls) -> RequestPanel:
        prompt = gr.Textbox(label="Prompt", placeholder="a smiling cat with heart eyes", lines=2, elem_id="draw-prompt")
        with gr.Row():
            go = gr.Button("Generate", variant="primary", elem_id="draw-go")
            stop = gr.Button("Stop", interactive=False, elem_id="draw-cancel")
        gr.Examples(EXAMPLES, prompt)
        with gr.Row():
            n = gr.Slider(1, 8, 1, step=1, label="Images", elem_id="draw-n")
            style = gr.Dropdown(STYLES, value="", label="Style", allow_custom_value=True, elem_id="draw-style")
        with gr.Row(equal_height=True):
            seed = gr.Number(label="Seed", precision=0, value=None, elem_id="draw-seed")
            lock = gr.Checkbox(label="Fixed seed", elem_id="draw-lock")
        with gr.Accordion("Options", open=False):
            options = [image_options.component(one) for one in image_options.OPTIONS]
        with gr.Accordion("Input image (image-to-image, inpainting)", open=False) as beginning:
            gr.HTML(BEGIN)
            canvas = gr.ImageEditor(
                type="pil", sources=["upload", "clipboard"], transforms=(), layers=False, format="png", show_label=False,
                brush=gr.Brush(colors=["#f59e0b"], color_mode="fixed", default_size=8), height=360,
                elem_id="draw-canvas",
            )  # fmt: skip
            strength = gr.Slider(0.05, 1, 0.7, step=0.05, label="Denoising strength", elem_id="draw-strength")
        with gr.Accordion("Reproduce from a PNG", open=False):
            gr.HTML(AGAIN)
            again = gr.File(
                label="PNG with a recipe", file_types=["image"], file_count="multiple", height=120, elem_id="draw-again"
            )
        given = [prompt, n, style, seed, lock, canvas, strength, *options]
        return cls(prompt, go, stop, given, seed, canvas, beginning, again)


@dataclass(frozen=True)
class ResultPanel:
    """The right column: what was drawn."""

    progress: Any
    gallery: Any
    recipes: Any
    picked: Any  # the number of the image that was pressed
    use: Any
    shown: Any  # its recipe

    @classmethod
    def built(cls) -> ResultPanel:
        progress = gr.HTML(HINT, elem_id="draw-progress")
        gallery = gr.Gallery(
            show_label=False,
            columns=3,
            fit_columns=False,
            object_fit="contain",
            height="auto",
            format="png",
            type="filepath",
            interactive=False,
            elem_id="draw-gallery",
            elem_classes="pixels",
        )
        recipes, picked = gr.State([]), gr.State(0)
        use = gr.Button("Use as input", size="sm", elem_id="draw-use")
        with gr.Accordion("Recipe (generation parameters)", open=False):
            shown = gr.Code(language="json", show_label=False, elem_id="draw-recipe")
            gr.HTML("<p class='facts'>Every image carries its recipe; <code>mmgen reproduce</code> generates it again.</p>")
        return cls(progress, gallery, recipes, picked, use, shown)


def tab(rt: Runtime, model: str | None, past: HistoryPanel) -> Sessions:
    """Builds it; the caller cancels what a closed page leaves behind."""
    drawn = DrawHandlers(rt, model, past)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=300):
            ask = RequestPanel.built()
        with gr.Column(scale=2, min_width=320):
            made = ResultPanel.built()
            reopened = [made.gallery, made.progress, made.recipes, made.shown]
            earlier = past.panel("Image history", TASKS, prompt_of, drawn.reopened, None, reopened)
    outputs = [made.gallery, made.progress, ask.seed, made.recipes, made.shown, ask.go, ask.stop]
    for trigger in (ask.prompt.submit, ask.go.click):
        done = trigger(drawn.draw, ask.given, outputs, show_progress="hidden", trigger_mode="once")
        done.then(past.newer, earlier, earlier, show_progress="hidden")
    ask.again.upload(drawn.again, ask.again, outputs, show_progress="hidden", trigger_mode="once")
    ask.stop.click(drawn.sessions.cancel, queue=False)
    made.gallery.select(chosen, made.recipes, [made.shown, made.picked], show_progress="hidden")
    made.use.click(begin_with, [made.gallery, made.picked], [ask.canvas, ask.beginning], show_progress="hidden")
    return drawn.sessions


def chosen(recipes: list[str], event: gr.SelectData) -> tuple[str, int]:
    """The recipe of the image that was pressed, and which it is."""
    return recipes[event.index], event.index


def begin_with(shown: list[tuple[str, str]] | None, picked: int) -> tuple[Any, Any]:
    """An image of the gallery becomes the one to begin with."""
    if not shown:
        return gr.skip(), gr.skip()
    path, _ = shown[min(picked, len(shown) - 1)]
    return {"background": path, "layers": [], "composite": path}, gr.update(open=True)
