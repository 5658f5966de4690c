"""What the buttons of Draw do: images drawn, drawn anew, and drawn again. Knows pipelines and sessions; not the page."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled, MmgenError, UnreadableFile
from mmgen.pipelines.image import image_io, recipe
from mmgen.pipelines.image.image_pipeline import recalled
from mmgen.pipelines.image.recipe import Recipe
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.inpaint import Inpaint
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.streaming import Event
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime
from mmgen.stores.history import HistoryEntry

from . import image_options, kept_images, mask_editor
from .generation_state import ImageGenerationState, recipe_text
from .history_panel import HistoryPanel, since
from .sessions import Sessions, error_toasts

PREVIEW_EVERY = 2


class DrawHandlers:
    """One page's; `model` draws, or else the runtime's own."""

    def __init__(self, rt: Runtime, model: str | None, past: HistoryPanel) -> None:
        self.rt, self.model, self.past, self.sessions = rt, model, past, Sessions()
        self.txt2img, self.img2img, self.inpaint = Txt2Img(rt, model=model), Img2Img(rt, model=model), Inpaint(rt, model=model)
        self.begun = kept_images.folder(rt.home) / "begun"  # images and masks that recipes name

    def draw(
        self,
        prompt: str,
        n: float,
        style: str,
        seed: float | None,
        lock: bool,
        edited: mask_editor.Edited,
        strength: float,
        http: gr.Request,
        *more: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Previews, then the images as files with their recipes; what was done before a cancel stays.

        `more`: what the components of image_options.OPTIONS hold.
        """
        options = {"n": int(n), **image_options.values(more), "style": style or None}
        options["seed"] = int(seed) if lock and seed is not None else None
        with tempfile.TemporaryDirectory(prefix="mmgen-images-") as folder:  # Gradio keeps what it has shown
            board = ImageGenerationState(Path(folder))
            yield board.shown("Loading the model", busy=True)
            with self.sessions.request(http, "normal") as request:
                yield from ended(board, self._drawn(board, prompt, edited, strength, request, options))

    def _drawn(
        self,
        board: ImageGenerationState,
        prompt: str,
        edited: mask_editor.Edited,
        strength: float,
        request: Request,
        options: dict[str, Any],
    ) -> Iterator[tuple[Any, ...]]:
        for event in self._events(prompt, edited, strength, request, options):
            changed = board.take(event.kind, event.value)
            yield board.shown(board.note(), busy=True, images=changed)
        files = {f"{number}.png": path.read_bytes() for number, path in enumerate(board.finished(), 1)}
        self.past.add(request, board.task, {"prompt": prompt, **options}, {"seeds": board.seeds}, files)
        yield board.shown(board.note(), busy=False)

    def _events(
        self, prompt: str, edited: mask_editor.Edited, strength: float, request: Request, options: dict[str, Any]
    ) -> Iterator[Event]:
        """From words alone; from an image; or, where paint is on it, of that part alone."""
        options = {**options, "preview_every": PREVIEW_EVERY, "request": request}
        under, mask = (
            mask_editor.kept(mask_editor.begun(edited), self.begun),
            mask_editor.kept(mask_editor.painted(edited), self.begun),
        )
        if under is None:
            return self.txt2img.stream(prompt, **options)
        if mask is None:
            return self.img2img.stream(under, prompt, strength=strength, **options)
        return self.inpaint.stream(under, mask, prompt, strength=strength, **options)

    def again(self, paths: Sequence[str] | None, http: gr.Request) -> Iterator[tuple[Any, ...]]:
        """A PNG drawn again by its recipe; what it began with lies beside it, or was kept when it was drawn."""
        with tempfile.TemporaryDirectory(prefix="mmgen-again-") as name:
            folder = Path(name)
            board = ImageGenerationState(folder)
            yield board.shown("Generating it again", busy=True)
            yield from ended(board, self._redrawn(board, list(map(Path, paths or ())), folder, http))

    def _redrawn(
        self, board: ImageGenerationState, paths: list[Path], folder: Path, http: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        path, made = self._recipe(paths, folder)
        for part in filter(None, (made.image, made.mask)):
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
        known = {self.model or self.rt.config.denoiser, self.rt.config.denoiser}
        theirs = made.lora or made.embedding or made.vae or made.text_encoder  # a recipe comes from anywhere
        if theirs or not (made.model in known or made.model.startswith("embedded:")):
            raise BadRequest(
                f"{found[0].name} was generated by {made.model}; this page generates with {min(known)}: use mmgen reproduce"
            )
        return found

    def reopened(self, entry: HistoryEntry) -> Iterator[tuple[Any, ...]]:
        """Kept images with their recipes, for the gallery, the line above it, and what the recipe panel shows."""
        with tempfile.TemporaryDirectory(prefix="mmgen-images-") as folder:
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


def ended(board: ImageGenerationState, steps: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The steps; if they are cancelled or fail, the page says so and its buttons work again."""
    try:
        yield from steps
    except Cancelled:
        yield board.shown("Stopped.", busy=False)
    except MmgenError:
        yield board.shown("", busy=False)
        with error_toasts():
            raise
