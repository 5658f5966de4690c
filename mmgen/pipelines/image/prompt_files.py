"""Files that a prompt names: `<lora:NAME:SCALE>`, and words with vectors of their own. They lie in the home directory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmgen.errors import BadRequest, NotFound, nearest
from mmgen.image_params import ImageParams, LoraWeight
from mmgen.models.diffusion.prompts import syntax

LORAS, EMBEDDINGS = "loras", "embeddings"
"""Folders of the home directory."""


def with_loras(params: ImageParams, home: Path) -> ImageParams:
    """The call with the LoRA files that its prompt names, and the prompt without them.

    Raises NotFound for a name that no file has, BadRequest for one in the negative prompt.
    """
    text, named = syntax.loras(params.prompt)
    if syntax.loras(params.negative)[1]:
        raise BadRequest("the negative prompt names a LoRA, which acts on the whole image; name it in the prompt")
    return replace(params, prompt=text, loras=tuple(LoraWeight(_found(one.name, home), one.scale) for one in named))


def _found(name: str, home: Path) -> Path:
    """By the file's name, without regard for folders: a prompt comes from anywhere, so no path is followed."""
    files = {path.stem: path for path in _files(home / LORAS)}
    if name not in files:
        hint = nearest(name, list(files))
        raise NotFound(f"LoRA {name} is not in {home / LORAS}{hint}; put {name}.safetensors there, or give --lora FILE@SCALE")
    return files[name]


def embeddings(given: Sequence[str], asked: Sequence[ImageParams], home: Path) -> tuple[Path, ...]:
    """The files of learned words: the `given` ones, and those of the home directory whose names a prompt says."""
    paths = [Path(one).expanduser() for one in given]
    for path in paths:
        if not path.is_file():
            raise NotFound(f"embedding {path} does not exist; give a safetensors file")
    said = "\n".join(text for one in asked for text in (one.prompt, one.negative)).lower()
    for path in _files(home / EMBEDDINGS):
        if path.stem.lower() in said and re.search(rf"(?<![\w-]){re.escape(path.stem.lower())}(?![\w-])", said):
            paths.append(path)
    return tuple(dict.fromkeys(paths))


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.rglob("*.safetensors"))) if folder.is_dir() else iter(())
