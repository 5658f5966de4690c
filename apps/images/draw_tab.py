"""The Images tab: images from words, and from an image, watched while they are generated. Knows what stands where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.pipelines.image import control_images
from mmgen.pipelines.image.prompt_files import LORAS
from mmgen.runtime import Runtime

from .. import on_load
from ..history_panel import HistoryPanel
from ..model_chooser import ModelChooser
from ..sessions import Pages, Shows
from . import image_options
from .draw_handlers import DrawHandlers, prompt_of
from .generation_state import HINT

EXAMPLES = [
    "a smiling cat with heart eyes",
    "three strawberries",
    "a volcano in noto style",
    "a crown on a blue background",
]
STYLES = [("Default", ""), ("noto", "noto"), ("twemoji", "twemoji")]
TASKS = ("txt2img", "img2img", "inpaint", "edit", "variations")
KINDS = [("As the model's name says", ""), ("canny", "canny"), ("none (the image is a map)", "raw")]
BEGIN = "<p class='facts'>Drop an image for image-to-image. Paint a mask over a part to inpaint only that part.</p>"
AGAIN = (
    "<p class='facts'>Drop an image that mmgen, A1111 or Forge wrote: its settings go into the form. Reproduce generates a "
    "PNG of mmgen's again and compares it pixel by pixel; if it had an input image, drop that one too.</p>"
)
ENTER = "Enter generates, Shift+Enter begins a new line; (word:1.3) weighs a word, <lora:name:0.8> adds a LoRA."


@dataclass(frozen=True)
class RequestPanel:
    """What is asked for: the prompt with its buttons, which stand above the result on a phone, and the options below."""

    prompt: Any
    tokens: Any  # how many the prompt has
    negative: Any
    go: Any
    stop: Any

    @classmethod
    def built(cls) -> RequestPanel:
        prompt = gr.Textbox(
            label="Prompt", placeholder=EXAMPLES[0], lines=1, max_lines=8, info=ENTER, elem_id="draw-prompt"
        )  # fmt: skip
        tokens = gr.HTML("", visible=False, elem_id="draw-tokens")
        negative = gr.Textbox(label="Negative prompt", lines=1, max_lines=4, elem_id="draw-negative")
        with gr.Row():
            go = gr.Button("Generate", variant="primary", min_width=100, elem_id="draw-go")
            stop = gr.Button("Interrupt", interactive=False, min_width=100, elem_id="draw-cancel")
        return cls(prompt, tokens, negative, go, stop)


@dataclass(frozen=True)
class OptionsPanel:
    """How it is generated."""

    model: Any
    n: Any
    style: Any
    seed: Any
    lock: Any
    canvas: Any
    beginning: Any  # the accordion around the canvas
    strength: Any
    control: list[Any]  # the control image, its model, kind and scale
    again: Any
    reproduce: Any
    read: Any  # what was read from the dropped image
    options: list[Any]

    @classmethod
    def built(cls, drawn: DrawHandlers, prompt: Any) -> OptionsPanel:
        gr.Examples(EXAMPLES, prompt)
        model = drawn.chooser.dropdown("denoiser", drawn.default, "draw-model")
        with gr.Row():
            n = gr.Slider(1, 8, 1, step=1, label="Batch size", elem_id="draw-n")
            style = gr.Dropdown(STYLES, value="", label="Style", allow_custom_value=True, elem_id="draw-style")
        with gr.Row(equal_height=True):
            seed = gr.Number(-1, label="Seed (-1: random)", precision=0, elem_id="draw-seed")
            lock = gr.Checkbox(label="Fixed seed", elem_id="draw-lock")
        with gr.Accordion("Options", open=False):
            options = [image_options.component(one) for one in image_options.OPTIONS]
            lora_chooser(drawn.rt.home / LORAS, prompt)
        with gr.Accordion("Input image (img2img, inpaint)", open=False) as beginning:
            gr.HTML(BEGIN)
            canvas = gr.ImageEditor(
                type="pil", sources=["upload", "clipboard"], transforms=(), layers=False, format="png", show_label=False,
                brush=gr.Brush(colors=["#f59e0b"], color_mode="fixed", default_size=8), height=360,
                elem_id="draw-canvas",
            )  # fmt: skip
            strength = gr.Slider(0.05, 1, 0.7, step=0.05, label="Denoising strength", elem_id="draw-strength")
        control = control_panel(drawn.rt)
        with gr.Accordion("Settings from an image (PNG info)", open=False):
            gr.HTML(AGAIN)
            again = gr.File(label="Image", file_types=["image"], file_count="multiple", height=120, elem_id="draw-again")
            read = gr.HTML("", elem_id="draw-read")
            reproduce = gr.Button("Reproduce", size="sm", elem_id="draw-reproduce")
        return cls(model, n, style, seed, lock, canvas, beginning, strength, control, again, reproduce, read, options)


@dataclass(frozen=True)
class ResultPanel:
    """What was generated."""

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
            buttons=["download", "fullscreen"],
            elem_id="draw-gallery",
            elem_classes="pixels",
        )
        recipes, picked = gr.State([]), gr.State(0)
        use = gr.Button("Send to img2img", size="sm", elem_id="draw-use")
        with gr.Accordion("Recipe (generation parameters)", open=False):
            shown = gr.Code(language="json", show_label=False, elem_id="draw-recipe")
            gr.HTML("<p class='facts'>Every image carries its recipe; <code>mmgen reproduce</code> generates it again.</p>")
        return cls(progress, gallery, recipes, picked, use, shown)


def tab(rt: Runtime, model: str | None, past: HistoryPanel, chooser: ModelChooser, pages: Pages) -> Shows:
    """Builds it -> what shows a reloaded page its images again."""
    drawn = DrawHandlers(rt, model, past, chooser, pages)
    with gr.Row(elem_classes="areas"):
        with gr.Column(min_width=300, elem_classes="area-ask"):
            ask = RequestPanel.built()
        with gr.Column(min_width=320, elem_classes="area-made"):
            made = ResultPanel.built()
            reopened = [made.gallery, made.progress, made.recipes, made.shown]
            earlier = past.panel("Image history", TASKS, prompt_of, drawn.reopened, None, reopened)
        with gr.Column(min_width=300, elem_classes="area-options"):
            how = OptionsPanel.built(drawn, ask.prompt)
    given = [ask.prompt, ask.negative, how.model, how.n, how.style, how.seed, how.lock, how.canvas, how.strength]
    given += [*how.control, *how.options]
    outputs = [made.gallery, made.progress, how.seed, made.recipes, made.shown, ask.go, ask.stop]
    done = gr.on(
        [ask.prompt.submit, ask.negative.submit, ask.go.click], drawn.draw, given, outputs, show_progress="hidden",
        trigger_mode="once",
    )  # fmt: skip
    gr.on(
        [ask.prompt.change, how.model.change, made.recipes.change], drawn.counted, [ask.prompt, how.model], ask.tokens,
        show_progress="hidden", trigger_mode="always_last",
    )  # fmt: skip
    done.then(past.newer, earlier, earlier, show_progress="hidden")
    form = [how.read, ask.prompt, ask.negative, how.model, how.style, how.seed, how.lock, *how.options]
    how.again.upload(drawn.settings, how.again, form, show_progress="hidden")
    how.reproduce.click(drawn.again, how.again, outputs, show_progress="hidden", trigger_mode="once")
    ask.stop.click(drawn.sessions.cancel, queue=False)
    made.gallery.select(chosen, made.recipes, [made.shown, made.picked], show_progress="hidden")
    made.use.click(begin_with, [made.gallery, made.picked], [how.canvas, how.beginning], show_progress="hidden")
    return drawn.runs.resume, None, outputs


def control_panel(rt: Runtime) -> list[Any]:
    """A control image, and which model sees it in what way; the models are looked for when the page is loaded."""

    def names() -> list[str]:
        return control_images.names(rt)

    with gr.Accordion("Control image (ControlNet, T2I-Adapter, IP-Adapter)", open=False):
        image = gr.Image(type="pil", sources=["upload", "clipboard"], height=200, show_label=False, elem_id="draw-control")
        with gr.Row():
            model = gr.Dropdown(names(), value=None, label="Control model", elem_id="draw-control-model")
            kind = gr.Dropdown(KINDS, value="", label="Preprocessor", elem_id="draw-control-kind")
        scale = gr.Slider(0, 2, 1, step=0.05, label="Control weight", elem_id="draw-control-scale")
    on_load.fill(model, lambda: gr.update(choices=names()))
    return [image, model, kind, scale]


def lora_chooser(folder: Path, prompt: Any) -> None:
    """The home's LoRA files: choosing one writes it into the prompt."""

    def names() -> list[str]:
        return sorted(path.stem for path in folder.rglob("*.safetensors")) if folder.is_dir() else []

    chooser = gr.Dropdown(names(), value=None, label="Add a LoRA to the prompt", elem_id="draw-lora")
    chooser.input(with_lora, [prompt, chooser], [prompt, chooser], show_progress="hidden")
    on_load.fill(chooser, lambda: gr.update(choices=names(), visible=bool(names())))


def with_lora(prompt: str, name: str | None) -> tuple[str, None]:
    """The prompt with the LoRA at its full strength, and the chooser empty again."""
    return (f"{prompt} <lora:{name}:1>".lstrip() if name else prompt), None


def chosen(recipes: list[str], event: gr.SelectData) -> tuple[str, int]:
    """The recipe of the image that was pressed, and which it is."""
    return recipes[event.index], event.index


def begin_with(shown: list[tuple[str, str]] | None, picked: int) -> tuple[Any, Any]:
    """An image of the gallery becomes the one to begin with."""
    if not shown:
        return gr.skip(), gr.skip()
    path, _ = shown[min(picked, len(shown) - 1)]
    return {"background": path, "layers": [], "composite": path}, gr.update(open=True)
