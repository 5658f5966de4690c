"""How an image was made, and the PNG that says so twice: as JSON for us, as `parameters` for everybody else's tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from mmgen.errors import BadRequest, UnreadableFile
from mmgen.pipelines.image import image_io

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


class Recipe(BaseModel):
    """Everything that decides an image's pixels. Keys of later versions are passed over."""

    model_config = ConfigDict(frozen=True)

    task: str
    model: str  # reference
    weights: str  # sha256, see `weight_files.digest`
    lora: tuple[RecipeFile, ...] = ()
    prompt: str  # as the model read it, with the style
    negative: str = ""
    seed: int
    solver: str | None = None  # None: the pipeline's own
    steps: int | None = None
    guidance: float | None = None
    guidance_rescale: float = 0.0
    width: int  # of the image, pixels
    height: int
    strength: float = 1.0
    image: RecipeFile | None = None  # what it began with
    mask: RecipeFile | None = None
    versions: dict[str, str]
    device: str

    def parameters(self) -> str:
        """The prompt, the negative prompt and one line of settings, as AUTOMATIC1111's web UI writes and reads them."""
        settings = {
            "Steps": self.steps,
            "Sampler": SAMPLERS.get(self.solver or "", self.solver),
            "CFG scale": self.guidance,
            "Seed": self.seed,
            "Size": f"{self.width}x{self.height}",
            "Model hash": self.weights[:10],
            "Model": self.model,
            "Denoising strength": self.strength if self.image else None,
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


def places(pattern: str | Path, seeds: Sequence[int]) -> list[Path]:
    """A path for every image.

    `pattern`: a file name in which {seed} and {n}, counted from 1, are filled in; or a folder, which is one if it exists or
    ends with a slash. Several images of one plain name get their seeds into it. Raises BadRequest for what is no PNG name.
    """
    text = str(pattern)
    if not text.strip():
        raise BadRequest("the output has no name; give a file such as out.png, or a folder")
    if text.endswith(("/", os.sep)) or Path(text).expanduser().is_dir():
        text = str(Path(text) / "{seed}.png")
    path = Path(text).expanduser()
    if path.suffix.lower() != ".png":
        raise BadRequest(f"{path} is not named .png; images are written as PNG, which keeps the recipe")
    if len(seeds) > 1 and "{seed}" not in path.name and "{n}" not in path.name:
        path = path.with_name(f"{path.stem}-{{seed}}{path.suffix}")
    return [path.with_name(_filled(path.name, n, seed)) for n, seed in enumerate(seeds, 1)]


def check_writable(path: Path) -> None:
    """Makes the folder a pattern names if only its last part is missing. BadRequest where nothing could be written."""
    folder = path.parent
    if not folder.exists() and folder.parent.is_dir():
        try:
            folder.mkdir()
        except OSError as why:
            raise BadRequest(f"{folder} cannot be made ({why.strerror}); choose another place") from None
    if not folder.is_dir():
        raise BadRequest(f"{folder} is no folder; make it first")
    if path.is_dir():
        raise BadRequest(f"{path} is a folder; name the file in it, or end the folder's name with a slash")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadRequest(f"{path} cannot be written; choose another place")


def check_png(path: Path) -> None:
    """`check_writable` of a file that must be a PNG."""
    if path.suffix.lower() != ".png":
        raise BadRequest(f"{path} is no name of a PNG; give one that ends with .png")
    check_writable(path)


def _filled(name: str, n: int, seed: int) -> str:
    return name.replace("{seed}", str(seed)).replace("{n}", str(n))


def _number(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value
