"""Text encoders for a transformer that comes without: from its own file, from files of their own, or from folders."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from mmgen import gguf_files
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.diffusion.single_file import kinds, text
from mmgen.models.diffusion.single_file.gguf import GGUFSingleFile
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers import t5
from mmgen.models.diffusion.single_file.transformers.families import EncoderPart, TransformerFamily

log = logging.getLogger(__name__)
INSIDE = {"clip_l": "text_encoders.clip_l.transformer.", "clip_g": "text_encoders.clip_g.transformer.",
          "t5": "text_encoders.t5xxl.transformer."}  # fmt: skip
"""Where whole models have them."""
WIDEST_L = 768
"""Of CLIP-L's states; CLIP-G's are wider."""
Encoder = tuple[Any, Any]
"""A module and its tokenizer."""


def parts(
    family: TransformerFamily, file: SingleFile, given: Sequence[Path], device: str, dtype: torch.dtype
) -> tuple[dict[str, Any], list[str]]:
    """The pipeline's text parts by its names, and in words those that are missing though it needs them.

    Raises BadWeights for a given file or folder that is of no such encoder.
    """
    places = dict(_places(file, given))
    made: dict[str, Any] = {}
    missing = []
    for one in family.texts:
        if (place := places.get(one.kind) or places.get(one.part)) is not None:
            projected = family.pipeline == "StableDiffusion3Pipeline"
            made[one.part], made[one.tokenizer] = _encoder(one, *place, projected, [one.parent for one in given], device, dtype)
        elif one.needed:
            missing.append(one.words)
        else:
            made |= {one.part: None, one.tokenizer: None}
            log.warning("%s reads prompts without %s; give it with --text-encoder", file.path, one.words)
    return made, missing


def _places(file: SingleFile, given: Sequence[Path]) -> Iterator[tuple[str, tuple[Any, str]]]:
    """By kind, or by the part of a pipeline: a file and what stands before its names, or a folder and a part of it."""
    for kind, prefix in INSIDE.items():
        if file.has(prefix):
            yield kind, (file, prefix)
    for path in given:
        if path.is_file():
            yield _of_file(path)
        elif (path / "model_index.json").is_file():
            for part, told in read_json(path / "model_index.json").items():
                if part.startswith("text_encoder") and isinstance(told, list) and told[0]:
                    yield part, (path, part)
        elif (path / "config.json").is_file():
            yield _kind_of(path), (path, "")


def _of_file(path: Path) -> tuple[str, tuple[Any, str]]:
    if path.suffix == gguf_files.SUFFIX:
        packed = GGUFSingleFile(path)
        if t5.GGUF_MARK in packed.shapes:
            return "t5", (packed, "")
        raise BadWeights(
            f"{path} looks like {kinds.looks_like(packed.shapes) or 'another model'}; --text-encoder takes GGUF of T5"
        )
    file = SingleFile(path)
    for prefix in ("", "transformer."):
        if f"{prefix}{t5.MARK}" in file.shapes:
            return "t5", (file, prefix)
        if (words := f"{prefix}text_model.embeddings.token_embedding.weight") in file.shapes:
            return "clip_l" if file.shape(words)[1] <= WIDEST_L else "clip_g", (file, prefix)
    told = kinds.looks_like(file.shapes) or f"no text encoder that is known here: it holds {', '.join(sorted(file.shapes)[:3])}"
    raise BadWeights(f"{path} looks like {told}; --text-encoder takes CLIP-L, CLIP-G and T5-XXL, or a folder")


def _kind_of(folder: Path) -> str:
    config, named = read_json(folder / "config.json"), pretrained.class_name(folder)
    if "T5" in named:
        return "t5"
    if "CLIPText" in named:
        return "clip_l" if int(config.get("hidden_size", 0)) <= WIDEST_L else "clip_g"
    return "llm"


def _encoder(
    about: EncoderPart, place: Any, inner: str, projected: bool, beside: Sequence[Path], device: str, dtype: torch.dtype
) -> Encoder:
    """`inner`: what stands before a file's names, or the part of a pipeline's folder. `beside`: where a tokenizer may lie."""
    if isinstance(place, Path):
        folder = place / inner
        return _module(folder, device, dtype), _tokenizer(
            place / inner.replace("text_encoder", "tokenizer") if inner else place
        )
    if isinstance(place, GGUFSingleFile):
        return t5.load(place, inner, device, dtype), t5.gguf_tokenizer(place)
    if about.kind == "t5":
        return t5.load(place, inner, device, dtype), t5.tokenizer(dict.fromkeys([place.path.parent, *beside]))
    activation, padding = ("gelu", "!") if about.kind == "clip_g" else ("quick_gelu", "<|endoftext|>")
    module = text.clip(place, inner, projected, activation)
    return module.requires_grad_(False).eval().to(device, dtype), text.tokenizer(padding)


def _module(folder: Path, device: str, dtype: torch.dtype) -> Any:
    named = pretrained.class_name(folder)
    made = getattr(import_module("transformers"), named, None)
    if made is None:
        raise BadWeights(f"{folder} is of class {named}, which transformers here does not have; update it")
    return pretrained.load(made, folder, device, dtype)


def _tokenizer(folder: Path) -> Any:
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as why:  # whatever a tokenizer's files make it raise
        raise BadWeights(f"{folder} holds no tokenizer that can be read ({pretrained.brief(why)}); fetch it again") from None
