"""What the buttons of the Images tab do: images generated, and generated again. Knows pipelines and sessions; not the page."""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.errors import BadRequest, Cancelled, MmgenError, UnreadableFile
from mmgen.image_params import ControlImage
from mmgen.ingest import image_files
from mmgen.models.diffusion.prompts import syntax
from mmgen.pipelines.edit import Edit
from mmgen.pipelines.image import control_images, image_io, recipe
from mmgen.pipelines.image.image_pipeline import recalled
from mmgen.pipelines.image.recipe import Recipe
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.streaming import Event
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime
from mmgen.stores.history import HistoryEntry

from .. import answer_html
from ..history_panel import HistoryPanel, since
from ..live_runs import Frame, LiveRuns
from ..model_chooser import ModelChooser
from ..sessions import Pages, Sessions, error_toasts
from . import image_options, image_settings, kept_images, mask_editor
from .generation_state import ImageGenerationState, recipe_text

PREVIEW_EVERY = 2
OUTPUTS = 7


@dataclass(frozen=True)
class DrawForm:
    """What the form holds, in the order of its components; `options` are those of image_options.OPTIONS."""

    prompt: str
    negative: str
    model: str | None
    n: float
    style: str
    seed: float | None
    lock: bool
    edited: mask_editor.Edited
    strength: float
    control: Any  # the control image
    control_model: str | None
    control_kind: str
    control_scale: float
    options: Sequence[Any]

    @classmethod
    def of(cls, given: Sequence[Any]) -> DrawForm:
        *fixed, _ = (one.name for one in fields(cls))
        return cls(**dict(zip(fixed, given[: len(fixed)], strict=True)), options=given[len(fixed) :])

    def params(self) -> dict[str, Any]:
        """As the pipelines take them."""
        seed = int(self.seed) if self.lock and self.seed is not None else None
        more = image_options.values(self.options)
        return {"n": int(self.n), **more, "negative": self.negative, "style": self.style or None, "seed": seed}


class DrawHandlers:
    """One page's. `model`: the default."""

    def __init__(self, rt: Runtime, model: str | None, past: HistoryPanel, chooser: ModelChooser, pages: Pages) -> None:
        self.rt, self.default, self.past, self.chooser = rt, model or rt.config.denoiser, past, chooser
        self.sessions, self.runs = Sessions(pages), LiveRuns(pages, OUTPUTS)
        self.begun = kept_images.folder(rt.home) / "begun"  # images and masks that recipes name

    def draw(self, http: gr.Request, *given: Any) -> Iterator[Frame]:
        """Previews, then the images as files with their recipes; what was finished before an interruption stays."""
        form = DrawForm.of(given)

        def steps(folder: Path) -> Iterator[Frame]:
            under = mask_editor.begun(form.edited)
            board = ImageGenerationState(folder, None if under is None else under.size)
            yield from ended(board, self._drawn(board, form, http))

        yield from self.runs.start(http, steps)

    def _drawn(self, board: ImageGenerationState, form: DrawForm, http: gr.Request) -> Iterator[Frame]:
        options = {**form.params(), "control": self._controls(form)}
        with self.sessions.request(http, "normal") as request:
            yield board.shown("Loading the model", busy=True, images=False)
            model = self.chooser.checked("denoiser", self.default, form.model)
            for note in self.chooser.fetched("denoiser", model, lambda: self.rt.denoiser(model), request.check):
                yield board.shown(escape(note), busy=True, images=False)
            for event in self._events(form, {**options, "preview_every": PREVIEW_EVERY, "request": request}):
                changed = board.take(event.kind, event.value)
                yield board.shown(board.note(), busy=True, images=changed)
            files = {f"{number}.png": path.read_bytes() for number, path in enumerate(board.finished(), 1)}
            self.past.add(request, board.task, {"prompt": form.prompt, **form.params()}, {"seeds": board.seeds}, files)
        yield board.shown(board.note(), busy=False)

    def _events(self, form: DrawForm, options: dict[str, Any]) -> Iterator[Event]:
        """From words alone; from an image; or, where paint is on it, of that part alone."""
        model = self.chooser.checked("denoiser", self.default, form.model)
        under = mask_editor.kept(mask_editor.begun(form.edited), self.begun)
        mask = mask_editor.kept(mask_editor.painted(form.edited), self.begun)
        cut = options.pop("only_masked", None)
        if cut is not None and mask is None:
            raise BadRequest("only masked is for a mask; paint over the part of the image that is meant, or empty the field")
        if under is None:
            return Txt2Img(self.rt, model=model).stream(form.prompt, **options)
        if mask is None and self.rt.denoiser(model).edits:
            return Edit(self.rt, model=model).stream(under, form.prompt, **options)
        if mask is None:
            return Img2Img(self.rt, model=model).stream(under, form.prompt, strength=form.strength, **options)
        return Inpaint(self.rt, model=model).stream(
            under, mask, form.prompt, strength=form.strength, only_masked=cut, **options
        )

    def counted(self, prompt: str | None, model: str | None) -> Any:
        """Nothing to see where there is nothing to tell."""
        told = self.told_of(prompt or "", model)
        return gr.update(value=told, visible=bool(told))

    def told_of(self, prompt: str, model: str | None) -> str:
        """How many tokens the prompt has, once the model is loaded; or what in it cannot be read."""
        try:
            reference = self.chooser.checked("denoiser", self.default, model)
            if not prompt.strip() or all(one.name != f"denoiser {reference}" for one in self.rt.engine.models):
                return ""
            found = self.rt.denoiser(reference).count_tokens(syntax.loras(prompt)[0])
        except MmgenError as why:
            return f"<p class='facts warn'>{escape(str(why))}</p>"
        if found is None:
            return ""
        tokens, window = found
        parts = f", read in {math.ceil(tokens / window)} parts of {window}" if tokens > window else f" of {window}"
        return f"<p class='facts'>{tokens} tokens{parts}</p>"

    def _controls(self, form: DrawForm) -> list[ControlImage]:
        """Kept so that its recipe can be followed later. Raises BadRequest for a model that is not offered."""
        if form.control is None:
            return []
        known = control_images.names(self.rt)
        if form.control_model not in known:
            where = self.rt.home / control_images.FOLDER
            raise BadRequest(f"choose the control image's model; {', '.join(known) or f'put ControlNets into {where}'}")
        image = mask_editor.kept(image_files.rgb(form.control), self.begun)
        assert image is not None and form.control_model is not None
        return [ControlImage(form.control_model, image, form.control_scale, kind=form.control_kind)]

    def settings(self, paths: Sequence[str] | None) -> tuple[Any, ...]:
        """What the dropped image says, for the form: a note, prompt, negative prompt, model, style, seed, whether it is fixed,
        and the options. Of one that says nothing the note tells why, and the form stays as it is."""
        unchanged = (gr.skip(),) * (6 + len(image_options.OPTIONS))
        if not paths:
            return gr.skip(), *unchanged
        try:
            found = image_settings.read(Path(paths[0]))
        except MmgenError as why:
            return answer_html.notice(str(why)), *unchanged
        told, options = list(found.told), found.options
        model: Any = gr.skip()
        if found.model:
            try:
                model = self.chooser.checked("denoiser", self.default, found.model)
            except MmgenError as why:
                told.append(str(why))
        note = image_settings.ImageSettings(options, found.model, told, found.tool).html(Path(paths[0]).name)
        seed = options.get("seed")
        more = [image_options.shown(one, options.get(one.name)) for one in image_options.OPTIONS]
        return note, options["prompt"], options.get("negative", ""), model, "", seed, seed is not None, *more

    def again(self, paths: Sequence[str] | None, http: gr.Request) -> Iterator[Frame]:
        """A PNG generated again by its recipe; what it began with lies beside it, or was kept when it was generated."""

        def steps(folder: Path) -> Iterator[Frame]:
            board = ImageGenerationState(folder)
            yield board.shown("Generating it again", busy=True, images=False)
            yield from ended(board, self._redrawn(board, list(map(Path, paths or ())), folder, http))

        yield from self.runs.start(http, steps)

    def _redrawn(self, board: ImageGenerationState, paths: list[Path], folder: Path, http: gr.Request) -> Iterator[Frame]:
        path, made = self._recipe(paths, folder)
        for part in filter(None, (made.image, made.mask, *made.control)):
            if (own := self.begun / Path(part.file).name).is_file():
                shutil.copy(own, folder)
        with self.sessions.request(http, "normal") as request:
            found = reproduce(self.rt, path, request=request)
        board.seeds = [made.seed]
        board.put(0, found.image, found.recipe)
        yield board.shown(escape(str(found).replace(str(path), path.name)), busy=False)

    def _recipe(self, paths: Sequence[Path], folder: Path) -> tuple[Path, Recipe]:
        """The first of the images that has one, copied with the others into the folder, and its recipe."""
        found: tuple[Path, Recipe] | None = None
        for path in paths:
            copy = folder / path.name
            shutil.copy(path, copy)
            try:
                found = found or (copy, recipe.of(image_io.read(copy), path.name))
            except UnreadableFile as why:
                missing = why
        if found is None:
            raise missing if paths else BadRequest("there is no image; drop a PNG that mmgen generated")
        made = found[1]
        offered = {self.default, *(reference for _, reference in self.chooser.references("denoiser"))}
        theirs = made.lora or made.embedding or made.vae or made.text_encoder or made.upscaler  # a recipe comes from anywhere
        controls = {one.reference for one in made.control} - set(control_images.known(self.rt).values())
        if theirs or controls or made.model not in offered:
            raise BadRequest(
                f"{found[0].name} was generated by {made.model}; this page generates with {self.default}: use mmgen reproduce"
            )
        return found

    def reopened(self, entry: HistoryEntry) -> Iterator[Frame]:
        """Kept images with their recipes, for the gallery, the line above it, and what the recipe panel shows."""
        with tempfile.TemporaryDirectory(prefix="mmgen-images-") as folder:  # Gradio keeps what it has shown
            shown, recipes = [], []
            for number, data in enumerate(self.past.files(entry, ".png")):
                path = Path(folder) / f"{secrets.token_hex(8)}-{number}.png"
                path.write_bytes(data)
                made = recalled(image_io.read(path))
                shown.append((str(path), f"seed {made.seed}" if made else ""))
                recipes.append(recipe_text(made) if made else "")
            note = f"<p class='status'>Generated {since(entry.created)}: {escape(prompt_of(entry))}</p>"
            yield shown, note, recipes, recipes[0] if recipes else ""


def prompt_of(entry: HistoryEntry) -> str:
    """What was asked for, however it came in."""
    return str(entry.asked.get("prompt") or entry.kind)


def ended(board: ImageGenerationState, steps: Iterator[Frame]) -> Iterator[Frame]:
    """The steps; if they are interrupted or fail, the page says so and its buttons work again."""
    try:
        yield from steps
    except Cancelled:
        yield board.shown(board.interrupted(), busy=False)
    except MmgenError as why:
        board.interrupted()
        yield board.shown(f"<span class='warn'>{escape(str(why))}</span>", busy=False, images=bool(board.seeds))
        with error_toasts():
            raise
