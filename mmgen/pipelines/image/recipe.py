"""How an image was made, and the PNG that says so twice: as JSON for us, as `parameters` for everybody else's tools."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from mmgen import image_params
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.pipelines.image import image_io
from mmgen.pipelines.signature import Parameter, declared

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

CHUNK, COMMON = "mmgen", "parameters"
"""Text chunks of the PNG: ours, and the one that AUTOMATIC1111's web UI began."""
SAMPLERS = {
    "ddpm": "DDPM",
    "ddim": "DDIM",
    "euler": "Euler",
    "euler-a": "Euler a",
    "heun": "Heun",
    "dpm++2m": "DPM++ 2M",
    "dpm++2m-karras": "DPM++ 2M Karras",
    "unipc": "UniPC",
    "lcm": "LCM",
}
"""Solvers as other tools call them."""


class RecipeFile(BaseModel):
    """A file that went into the image."""

    model_config = ConfigDict(frozen=True)

    file: str  # a LoRA's path; of an image the name alone
    sha256: str
    scale: float = 1.0  # of a LoRA


class RecipeOptions(BaseModel):
    """What a recipe says of the call: every field of ImageParams that decides the pixels is one here, under its name."""

    model_config = ConfigDict(frozen=True)

    task: str
    model: str  # reference
    weights: str  # sha256, see `weight_files.digest`
    lora: tuple[RecipeFile, ...] = ()
    embedding: tuple[RecipeFile, ...] = ()  # textual inversion
    prompt: str  # as the model read it, with the style
    negative: str = ""
    seed: int
    width: int  # of the image, pixels
    height: int

    def options(self) -> dict[str, Any]:
        """As ImageParams takes them. What is None was the pipeline's own."""
        return {one.name: getattr(self, one.name) for one in recorded()}


def recorded() -> list[Parameter]:
    """The options of an image call that decide the pixels: a recipe holds them all."""
    return [one for one in declared(image_params.ImageParams) if one.info.recorded]


def _complete(made: type[BaseModel]) -> Any:
    """With the fields of ImageParams that it does not spell out itself."""
    found = [one for one in recorded() if one.name not in made.model_fields]
    fields: Any = {one.name: (one.annotation, one.default) for one in found}
    return create_model("CompleteOptions", __base__=made, **fields)


if TYPE_CHECKING:
    CompleteOptions = RecipeOptions
else:
    CompleteOptions = _complete(RecipeOptions)


class Recipe(CompleteOptions):
    """Everything that decides an image's pixels. Keys of later versions are passed over."""

    image: RecipeFile | None = None  # what it began with
    mask: RecipeFile | None = None
    versions: dict[str, str]
    device: str

    def parameters(self) -> str:
        """The prompt, the negative prompt and one line of settings, as AUTOMATIC1111's web UI writes and reads them."""
        options = self.options()
        settings = {
            "Steps": options["steps"],
            "Sampler": SAMPLERS.get(options["solver"] or "", options["solver"]),
            "CFG scale": options["guidance"],
            "Seed": self.seed,
            "Size": f"{self.width}x{self.height}",
            "Model hash": self.weights[:10],
            "Model": self.model,
            "Denoising strength": options["strength"] if self.image else None,
            "Version": f"mmgen {self.versions.get('mmgen', '')}",
        }
        line = ", ".join(f"{name}: {_number(value)}" for name, value in settings.items() if value is not None)
        return "\n".join([self.prompt, *([f"Negative prompt: {self.negative}"] if self.negative else []), line])


def versions() -> dict[str, str]:
    """Of what computes an image."""
    return {name: version(name) for name in ("mmgen", "torch", "diffusers")}


def read(path: Path) -> Recipe:
    """The recipe in a PNG. Raises NotFound, or UnreadableFile for a file that is no image or holds none of ours."""
    return of(image_io.read(path), str(path))


def of(image: Image, name: str) -> Recipe:
    """The recipe of an opened image."""
    try:
        return Recipe.model_validate_json(image.info[CHUNK])
    except KeyError:
        raise UnreadableFile(f"{name} holds no recipe; images that mmgen wrote as PNG hold one") from None
    except ValidationError as why:
        raise UnreadableFile(f"{name} holds a damaged recipe ({why.errors()[0]['msg']}); it cannot be followed") from None


def chunks(recipe: Recipe) -> PngInfo:
    """Both, for Pillow's `pnginfo`."""
    from PIL.PngImagePlugin import PngInfo

    found = PngInfo()
    found.add_text(COMMON, recipe.parameters())
    found.add_text(CHUNK, recipe.model_dump_json(exclude_defaults=True))
    return found


def save(image: Image, recipe: Recipe, path: Path) -> None:
    """Writes the PNG whole or not at all. Raises BadRequest where it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            image.save(file, "PNG", pnginfo=chunks(recipe))
        part.replace(path)
    except OSError as why:
        raise BadRequest(f"{path} cannot be written ({why.strerror or why}); choose another place") from None
    finally:
        part.unlink(missing_ok=True)


def _number(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value
