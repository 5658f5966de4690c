"""The tab Draw: images from words, and from an image, watched while they are drawn. Knows what stands where on the page."""

from __future__ import annotations

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


def tab(rt: Runtime, model: str | None, past: HistoryPanel) -> Sessions:
    """Builds it; the caller cancels what a closed page leaves behind."""
    drawn = DrawHandlers(rt, model, past)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=300):
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
        with gr.Column(scale=2, min_width=320):
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
            earlier = past.panel("Image history", TASKS, prompt_of, drawn.reopened, None, [gallery, progress, recipes, shown])
    given = [prompt, n, style, seed, lock, canvas, strength, *options]
    outputs = [gallery, progress, seed, recipes, shown, go, stop]
    for trigger in (prompt.submit, go.click):
        done = trigger(drawn.draw, given, outputs, show_progress="hidden", trigger_mode="once")
        done.then(past.newer, earlier, earlier, show_progress="hidden")
    again.upload(drawn.again, again, outputs, show_progress="hidden", trigger_mode="once")
    stop.click(drawn.sessions.cancel, queue=False)
    gallery.select(chosen, recipes, [shown, picked], show_progress="hidden")
    use.click(begin_with, [gallery, picked], [canvas, beginning], show_progress="hidden")
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
