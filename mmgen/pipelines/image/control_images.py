"""Control images of a call: which model each is for, the image opened, and its map in the size that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen import hub, weight_files
from mmgen.errors import BadRequest, NotFound, nearest
from mmgen.image_params import ControlImage, ControlInput
from mmgen.pipelines.image import image_io
from mmgen.pipelines.image.recipe import RecipeControl

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from mmgen.runtime import Runtime

FOLDER = "controlnet"
"""Of the home directory, where models are found by name: folders, and single files."""
ENCODER = "image_encoder"
"""The CLIP image encoder of IP-Adapters beside it, which is none."""


def opened(asked: Sequence[ControlImage], rt: Runtime, given: Sequence[str] = ()) -> tuple[ControlInput, ...]:
    """
    given: NAME=REFERENCE of models, besides those of the configuration and the home directory.
    Raises NotFound for a name that no model has, and what reading an image raises.
    """
    every = known(rt) | named(given)
    return tuple(
        ControlInput(one, reference(one.model, every, rt.home), image_io.srgb(image_io.read(one.image))) for one in asked
    )


def named(given: Sequence[str]) -> dict[str, str]:
    """NAME=REFERENCE, several. Raises BadRequest."""
    found = {}
    for text in given:
        name, _, where = text.partition("=")
        if not (name.strip() and where.strip()):
            raise BadRequest(f"control_model is {text[:80]!r}; write NAME=REFERENCE, such as canny=FOLDER")
        found[name.strip()] = where.strip()
    return found


def names(rt: Runtime) -> list[str]:
    """Names of models that a caller from elsewhere can ask for."""
    return sorted(known(rt))


def known(rt: Runtime) -> dict[str, str]:
    """Their references."""
    return {name: str(path) for name, path in _at_home(rt.home).items()} | dict(rt.config.control_models)


def reference(model: str, every: Mapping[str, str], home: Path) -> str:
    """Of what a caller calls a model: a known name, one of the home directory, or a path or repo id, as which it stands."""
    if model in every:
        return every[model]
    if "/" in model or "\\" in model or model.endswith(".safetensors"):
        return model
    hint = nearest(model, list(every))
    raise NotFound(
        f"no control model is called {model}{hint}; say which it is with --control-model {model}=REFERENCE, or put it into "
        f"{home / FOLDER}"
    )


def _at_home(home: Path) -> dict[str, Path]:
    return {path.stem if path.is_file() else path.name: path for path in _models(home / FOLDER)}


def _models(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ".safetensors" or (path.name != ENCODER and any(path.glob("*.safetensors"))):
            yield path


def sized(given: ControlInput, size: tuple[int, int], part: Callable[[Image], Image] | None = None) -> ControlInput:
    """With its map in that size: cut to its ratio and scaled, or made of a part of the image."""
    return replace(given, pixels=_map(given, given.image if part is None else part(given.image), size))


def _map(given: ControlInput, image: Image, size: tuple[int, int]) -> Tensor:
    """(3, height, width) in [0, 1]"""
    pixels = image_io.scaled(image, size)
    if given.asked.kind != "canny":
        return pixels
    import torch

    from mmgen.models.diffusion.control import canny

    found = canny.edges((pixels * 255).round().byte().permute(1, 2, 0).numpy())
    return torch.from_numpy(found).float().div(255).expand(3, -1, -1).contiguous()


def recorded(given: ControlInput) -> RecipeControl:
    """As a recipe remembers it."""
    asked = given.asked
    return RecipeControl(
        model=asked.model,
        reference=given.reference,
        weights=weight_files.digest(hub.resolve(given.reference, kind="control")),
        file=image_io.name_of(asked.image),
        sha256=image_io.digest(given.image),
        kind=asked.kind,
        scale=asked.scale,
        start=asked.start,
        end=asked.end,
    )
