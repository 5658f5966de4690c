"""The settings that an image carries, ours or A1111's, for the form that draws. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from PIL.Image import Image

from mmgen.errors import UnreadableFile
from mmgen.pipelines.image import image_io, infotext, recipe


@dataclass(frozen=True)
class ImageSettings:
    """What one image says about how it was made."""

    options: Mapping[str, Any]  # as ImageParams takes them
    model: str = ""  # reference; empty: another tool's, whose models go by other names
    told: list[str] = field(default_factory=list)  # what cannot be followed
    tool: str = "mmgen"

    def html(self, name: str) -> str:
        """What was filled in, and what was not."""
        notes = "".join(f"<li>{escape(one)}</li>" for one in self.told)
        head = f"<p class='status'>Settings of {escape(name)}, written by {escape(self.tool)}, are in the form.</p>"
        return head + (f"<ul class='notes'>{notes}</ul>" if notes else "")


def read(path: Path) -> ImageSettings:
    """Raises UnreadableFile for what is no image, or one that says nothing."""
    image = image_io.read(path)
    if recipe.CHUNK in image.info:
        return _ours(recipe.of(image, path.name), recipe.unknown(image))
    return _theirs(image, path.name)


def _ours(made: recipe.Recipe, unknown: list[str]) -> ImageSettings:
    told = [f"{key}: a later version of mmgen wrote it, it is not followed" for key in unknown]
    if made.image is not None:
        told.append(f"it began with the image {made.image.file}: drop that one as input image")
    told += [f"LoRA {one.file} at {one.scale:g}: name it in the prompt as <lora:NAME:{one.scale:g}>" for one in made.lora]
    told += [
        f"{kind} {one.file} is not followed on this page"
        for kind, one in (("VAE", made.vae), ("upscaler", made.upscaler))
        if one
    ]
    return ImageSettings({**made.options(), "seed": made.seed}, made.model, told)


def _theirs(image: Image, name: str) -> ImageSettings:
    found = infotext.of(image)
    if found is None:
        recipe.of(image, name)  # says why not
        raise UnreadableFile(f"{name} holds no settings")
    options, told = infotext.options(found)
    if model := found.settings.get("Model"):
        told.insert(0, f"model {model} is another tool's name: choose one")
    return ImageSettings(options, "", told, found.tool)
