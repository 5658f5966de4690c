"""How an image was made, and the PNG that says so twice: as JSON for us, as `parameters` for everybody else's tools."""

from __future__ import annotations

import io
import json
import re
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from mmgen import image_params
from mmgen.errors import UnreadableFile
from mmgen.models.diffusion.prompts import syntax
from mmgen.pipelines.image import image_io, infotext, output_paths
from mmgen.pipelines.signature import Parameter, declared

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

CHUNK, COMMON = "mmgen", "parameters"
"""Text chunks of the PNG: ours, and the one that AUTOMATIC1111's web UI began."""
LINES = re.compile(r"^(\s*)(Negative prompt|Steps):", re.MULTILINE)
"""What other tools take for the beginning of another part, wherever a line begins with it."""


class RecipeFile(BaseModel):
    """A file that went into the image."""

    model_config = ConfigDict(frozen=True)

    file: str  # a LoRA's path; of an image the name alone
    sha256: str
    scale: float = 1.0  # of a LoRA


class RecipeControl(RecipeFile):
    """A control image, and the model that saw it; see ControlImage."""

    model: str  # as the caller called it
    reference: str
    weights: str  # sha256, see `weight_files.digest`
    kind: str = "raw"
    start: float = 0.0
    end: float = 1.0


class RecipeCache(BaseModel):
    """What step caching left out, and what it cost."""

    model_config = ConfigDict(frozen=True)

    reused: int  # steps that were not computed ...
    of: int  # ... of so many
    error: float  # by how much their outputs were off at most: relative, L1, against the network's next output


class RecipeOptions(BaseModel):
    """What a recipe says of the call: every field of ImageParams that decides the pixels is one here, under its name."""

    model_config = ConfigDict(frozen=True)

    task: str
    model: str  # reference
    weights: str  # sha256, see `weight_files.digest`
    lora: tuple[RecipeFile, ...] = ()
    embedding: tuple[RecipeFile, ...] = ()  # textual inversion
    vae: RecipeFile | None = None  # instead of the model's own
    text_encoder: tuple[RecipeFile, ...] = ()  # of a single file without
    upscaler: RecipeFile | None = None
    super_resolution: RecipeFile | None = None  # the model's own, where it took part
    prompt: str  # as the model read it, with the style
    negative: str = ""
    seed: int
    width: int  # of the image, pixels; before it is made larger, where hires or an upscaler does
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
    """Everything that decides an image's pixels. Keys of later versions are passed over; see `unknown`."""

    image: RecipeFile | None = None  # what it began with
    mask: RecipeFile | None = None
    reference_image: tuple[RecipeFile, ...] = ()  # Picture 2 and further ones of an edit
    control: tuple[RecipeControl, ...] = ()
    versions: dict[str, str]
    device: str
    cached: RecipeCache | None = None  # where steps could be left out
    precision: str = ""  # of the weights and products; empty: not recorded, as before there was a choice: fp32

    def parameters(self) -> str:
        """The prompt, the negative prompt and one line of settings, as AUTOMATIC1111's web UI writes and reads them.

        Values with commas, colons or line breaks are quoted as JSON. What would begin another part is written in small
        letters, which every text encoder reads alike.
        """
        options = self.options()
        hires = None if options["hires"] is None else image_params.HiresFix.read(options["hires"])
        settings = {
            "Steps": options["steps"],
            "Sampler": image_params.SAMPLERS.get(options["solver"] or "", options["solver"]),
            "CFG scale": options["guidance"],
            "Seed": self.seed,
            "Size": f"{self.width}x{self.height}",
            "Model hash": self.weights[:10],
            "Model": self.model,
            "Denoising strength": hires.strength if hires else options["strength"] if self.image else None,
            "Inpaint area": None if options["only_masked"] is None else "Only masked",
            "Masked area padding": options["only_masked"],
            "Hires upscale": hires.scale if hires else None,
            "Hires upscaler": (stem(self.upscaler) if self.upscaler else "Bicubic") if hires else None,
            "Postprocess upscaler": stem(self.upscaler) if self.upscaler and not hires else None,
            "Super-resolution": self.super_resolution.sha256[:10] if self.super_resolution else None,
            "Lora hashes": ", ".join(f"{stem(one)}: {one.sha256[:12]}" for one in self.lora) or None,
            "Version": f"mmgen {self.versions.get('mmgen', '')}",
        }
        line = ", ".join(f"{name}: {_value(value)}" for name, value in settings.items() if value is not None)
        prompt = " ".join([self.prompt, *(syntax.tag(stem(one), one.scale) for one in self.lora)])
        prompt, negative = (LINES.sub(lambda found: found[0].lower(), text) for text in (prompt, self.negative))
        return "\n".join([prompt, *([f"Negative prompt: {negative}"] if negative else []), line])


def stem(file: RecipeFile) -> str:
    """A file's name as prompts say it."""
    return PurePath(file.file).stem


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
        tool = infotext.other_tool(image)
        why = f"{name} holds what {tool} wrote, which is not read here" if tool else f"{name} holds no recipe"
        raise UnreadableFile(
            f"{why}; images that mmgen wrote as PNG hold one, and parameters in A1111's form are read"
        ) from None
    except ValidationError as why:
        raise UnreadableFile(f"{name} holds a damaged recipe ({why.errors()[0]['msg']}); it cannot be followed") from None


def unknown(image: Image) -> list[str]:
    """Keys of its recipe that this version does not know; a later one wrote them."""
    try:
        said = json.loads(image.info.get(CHUNK, "{}"))
    except ValueError:
        return []
    return sorted(said.keys() - Recipe.model_fields.keys()) if isinstance(said, dict) else []


def chunks(recipe: Recipe) -> PngInfo:
    """Both, for Pillow's `pnginfo`."""
    from PIL.PngImagePlugin import PngInfo

    found = PngInfo()
    found.add_text(COMMON, recipe.parameters())
    found.add_text(CHUNK, recipe.model_dump_json(exclude_defaults=True))
    return found


def png(image: Image, recipe: Recipe) -> bytes:
    """A PNG with both."""
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=chunks(recipe))
    return file.getvalue()


def save(image: Image, recipe: Recipe, path: Path) -> None:
    """Writes the PNG whole or not at all. Raises BadRequest where it cannot be written."""
    output_paths.write_whole(path, png(image, recipe))


def _value(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
