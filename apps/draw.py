"""The tab Draw: words to pictures, watched while they are drawn. Knows what stands where; not how pictures come about."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL.Image import Image

from mmgen.drawing import GUIDANCE, STEPS
from mmgen.errors import Cancelled, MmgenError
from mmgen.models.solvers import SOLVERS
from mmgen.pipelines import recipe
from mmgen.pipelines.recipe import Recipe
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

from .sessions import Sessions, told

EXAMPLES = [
    "a smiling cat with heart eyes",
    "three strawberries",
    "a volcano in noto style",
    "a crown on a blue background",
]
STYLES = [("the usual", ""), ("noto", "noto"), ("twemoji", "twemoji")]
PREVIEW_EVERY = 2
HINT = "<p class='empty'>Say what to draw; the picture appears here while it is drawn.</p>"


def tab(rt: Runtime, model: str | None) -> Sessions:
    """Builds it; the caller cancels what a closed page leaves behind."""
    drawn = Drawing(Txt2Img(rt, model=model))
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=300):
            prompt = gr.Textbox(label="Prompt", placeholder="a smiling cat with heart eyes", lines=2, elem_id="draw-prompt")
            with gr.Row():
                go = gr.Button("Draw", variant="primary", elem_id="draw-go")
                stop = gr.Button("Cancel", interactive=False, elem_id="draw-cancel")
            gr.Examples(EXAMPLES, prompt)
            with gr.Row():
                n = gr.Slider(1, 8, 1, step=1, label="Pictures", elem_id="draw-n")
                style = gr.Dropdown(STYLES, value="", label="Style", allow_custom_value=True, elem_id="draw-style")
            with gr.Row(equal_height=True):
                seed = gr.Number(label="Seed", precision=0, minimum=0, value=None, elem_id="draw-seed")
                lock = gr.Checkbox(label="Keep this seed", elem_id="draw-lock")
            with gr.Accordion("Options", open=False):
                negative = gr.Textbox(value="", label="Not in the picture")
                steps = gr.Slider(1, 100, STEPS, step=1, label="Steps", elem_id="draw-steps")
                guidance = gr.Slider(1, 15, GUIDANCE, step=0.5, label="Guidance: how closely to follow the prompt")
                solver = gr.Dropdown([("the model's own", ""), *((name, name) for name in SOLVERS)], value="", label="Solver")
        with gr.Column(scale=2, min_width=320):
            progress = gr.HTML(HINT, elem_id="draw-progress")
            gallery = gr.Gallery(
                show_label=False,
                columns=3,
                fit_columns=False,
                object_fit="contain",
                height="auto",
                format="png",
                elem_id="draw-gallery",
            )
            recipes = gr.State([])
            with gr.Accordion("Recipe", open=False):
                shown = gr.Code(language="json", show_label=False, elem_id="draw-recipe")
                gr.HTML("<p class='facts'>Every picture carries its recipe; <code>mmgen reproduce</code> draws it again.</p>")
    given = [prompt, n, style, seed, lock, negative, steps, guidance, solver]
    outputs = [gallery, progress, seed, recipes, shown, go, stop]
    for trigger in (prompt.submit, go.click):
        trigger(drawn.draw, given, outputs, show_progress="hidden", trigger_mode="once")
    stop.click(drawn.sessions.cancel, queue=False)
    gallery.select(chosen, recipes, shown, show_progress="hidden")
    return drawn.sessions


class Drawing:
    """What the tab's buttons do."""

    def __init__(self, txt2img: Txt2Img) -> None:
        self.txt2img, self.sessions = txt2img, Sessions()

    def draw(
        self,
        prompt: str,
        n: float,
        style: str,
        seed: float | None,
        lock: bool,
        negative: str,
        steps: float,
        guidance: float,
        solver: str,
        http: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Previews, then the pictures as files with their recipes; what was done before a cancel stays."""
        options = {"n": int(n), "negative": negative, "steps": int(steps), "guidance": guidance}
        options |= {"style": style or None, "solver": solver or None, "seed": int(seed) if lock and seed is not None else None}
        with tempfile.TemporaryDirectory(prefix="mmgen-pictures-") as folder:  # Gradio keeps what it has shown
            board = Board(Path(folder))
            yield board.shown("Loading the model", busy=True)
            try:
                with self.sessions.request(http, "normal") as request:
                    for event in self.txt2img.stream(prompt, preview_every=PREVIEW_EVERY, request=request, **options):
                        changed = board.take(event.kind, event.value)
                        yield board.shown(board.note(), busy=True, pictures=changed)
            except Cancelled:
                yield board.shown("Cancelled.", busy=False)
            except MmgenError:
                yield board.shown("", busy=False)
                with told():
                    raise
            else:
                yield board.shown(board.note(), busy=False)


class Board:
    """The pictures of one call as they stand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds: list[int] = []
        self.pictures: dict[int, str] = {}  # place -> the file of a preview or of the picture
        self.recipes: dict[int, str] = {}
        self.steps: dict[int, tuple[int, int]] = {}

    def take(self, kind: str, value: Any) -> bool:
        """An event of the pipeline's. True when the pictures are others than before."""
        if kind == "start":
            self.seeds = value
        elif kind == "step":
            self.steps[value.picture] = value.step, value.of
        elif kind == "preview":
            self.pictures[value.index] = self._file(value.image)
        elif kind == "picture":
            self.pictures[value.index] = self._file(value.image, value.recipe)
            self.recipes[value.index] = json.dumps(value.recipe.model_dump(exclude_defaults=True), indent=2)
        return kind in ("preview", "picture")

    def _file(self, image: Image, made: Recipe | None = None) -> str:
        """A file of its own for each, since a browser may still be fetching the one before."""
        path = self.folder / f"{secrets.token_hex(8)}.png"
        if made is None:
            image.save(path)
        else:
            recipe.save(image, made, path)
        return str(path)

    def note(self) -> str:
        done, of = sum(step for step, _ in self.steps.values()), sum(of for _, of in self.steps.values())
        if not of:
            return "Reading the prompt"
        of = round(of * len(self.seeds) / len(self.steps))  # those that have not begun will take as many
        if len(self.recipes) == len(self.seeds):
            return f"{len(self.seeds)} drawn, seed {self.seeds[0]}" + (f" to {self.seeds[-1]}" if len(self.seeds) > 1 else "")
        return f"<progress max='{of}' value='{done}'></progress> step {done} of {of}"

    def shown(self, note: str, busy: bool, pictures: bool = True) -> tuple[Any, ...]:
        """For the tab's outputs. `pictures` False: they stay as they are, which spares sending them at every step."""
        shown = [(self.pictures[place], f"seed {self.seeds[place]}") for place in sorted(self.pictures)]
        recipes = [self.recipes.get(place, "") for place in sorted(self.pictures)]
        seed = self.seeds[0] if self.seeds else gr.skip()
        first = recipes[0] if recipes and not busy else gr.skip()
        return (
            shown if pictures else gr.skip(),
            f"<p class='status'>{note}</p>" if note else HINT,
            seed,
            recipes,
            first,
            gr.update(interactive=not busy),
            gr.update(interactive=busy),
        )


def chosen(recipes: list[str], event: gr.SelectData) -> Any:
    """The recipe of the picture that was pressed."""
    return recipes[event.index]
