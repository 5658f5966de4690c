"""The images of a call as they stand: files of previews, of finished images with recipes, and a line on how far it is."""

from __future__ import annotations

import json
import secrets
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL.Image import Image

from mmgen.pipelines.image import recipe
from mmgen.pipelines.image.recipe import Recipe

HINT = "<p class='empty'>Enter a prompt and press Generate; previews appear here during generation.</p>"


class ImageGenerationState:
    """The images of one call as they stand."""

    def __init__(self, folder: Path, given: tuple[int, int] | None = None) -> None:
        """`given`: width and height of the input image."""
        self.folder, self.given = folder, given
        self.seeds: list[int] = []
        self.task, self.size = "txt2img", (0, 0)
        self.images: dict[int, str] = {}  # place -> the file of a preview or of the image
        self.recipes: dict[int, str] = {}
        self.steps: dict[int, tuple[int, int]] = {}
        self.told: list[str] = []  # what was done otherwise than the call says
        self.plot = ""  # the file of all cells of an X/Y plot

    def take(self, kind: str, value: Any) -> bool:
        """An event of the pipeline's. True when the images are others than before."""
        if kind == "start":
            self.seeds = value
        elif kind == "step":
            self.steps[value.image] = value.step, value.of
        elif kind == "preview":
            self.images[value.index] = self._file(value.image)
        elif kind == "image":
            self.put(value.index, value.image, value.recipe)
        elif kind == "note":
            self.told.append(value)
        elif kind == "images" and any(value.axes):
            self.plot = self._file(value.sheet())
        return kind in ("preview", "image", "images")

    def put(self, place: int, image: Image, made: Recipe) -> None:
        """A finished image."""
        self.images[place] = self._file(image, made)
        self.recipes[place], self.task, self.size = recipe_text(made), made.task, image.size

    def interrupted(self) -> str:
        """Only finished images stay; says how many there are."""
        self.images = {place: file for place, file in self.images.items() if place in self.recipes}
        return f"Interrupted: {len(self.images)} of {len(self.seeds) or 1} finished" + (
            f", {self._size()}" if self.images else ""
        )

    def finished(self) -> list[Path]:
        """Files of the finished images."""
        return [Path(self.images[place]) for place in sorted(self.recipes)]

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
            return "Encoding the prompt"
        of = round(of * len(self.seeds) / len(self.steps))  # those that have not begun will take as many
        if len(self.recipes) == len(self.seeds):
            last = f" to {self.seeds[-1]}" if len(self.seeds) > 1 else ""
            told = "".join(f"; {escape(one)}" for one in self.told)
            return f"{len(self.seeds)} generated, seed {self.seeds[0]}{last}, {self._size()}{told}"
        return f"<progress max='{of}' value='{done}'></progress> step {done} of {of}"

    def _size(self) -> str:
        own = "{} x {} pixels".format(*self.size)
        if self.given is None or self.given == self.size:
            return own
        return f"{own} (the input image has {'{} x {}'.format(*self.given)}: it was scaled to a size that the model draws)"

    def shown(self, note: str, busy: bool, images: bool = True) -> tuple[Any, ...]:
        """For the tab's outputs. `images` False: they stay as they are, which spares sending them at every step."""
        shown = [(self.images[place], f"seed {self.seeds[place]}") for place in sorted(self.images)]
        recipes = [self.recipes.get(place, "") for place in sorted(self.images)]
        if self.plot:
            shown, recipes = [*shown, (self.plot, "plot")], [*recipes, recipes[0]]
        seed = self.seeds[0] if self.seeds else gr.skip()
        first = recipes[0] if recipes and not busy else gr.skip()
        return (
            shown if images else gr.skip(),
            f"<p class='status'>{note}</p>" if note else HINT,
            seed,
            recipes if images else gr.skip(),
            first,
            gr.update(interactive=not busy),
            gr.update(interactive=busy),
        )


def recipe_text(made: Recipe) -> str:
    """A recipe as it is shown."""
    return json.dumps(made.model_dump(exclude_defaults=True), indent=2)
