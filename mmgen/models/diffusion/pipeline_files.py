"""A folder with model_index.json as a pipeline of diffusers, its parts loaded one by one and checked. Never unpickles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.diffusion.denoiser import PRECISIONS
from mmgen.models.transformers_backend import processor

PROCESSOR = "processor"
"""The part that reads images and texts for a text encoder that sees."""


def load(folder: Path, device: str = "cpu", precision: str = "") -> Any:
    """The pipeline on that device. Raises BadWeights, in one line, for an unknown class or incomplete weights."""
    import diffusers

    if precision not in PRECISIONS:
        raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(filter(None, PRECISIONS))} after the #")
    index = read_json(folder / "model_index.json")
    found = str(index.get("_class_name", ""))
    made = getattr(diffusers, found, None) if found.endswith("Pipeline") else None
    if made is None:
        raise BadWeights(f"{folder} is of class {found or 'unknown'}, which diffusers {diffusers.__version__} does not have")
    dtype = PRECISIONS[precision]
    parts = {part: pretrained.load(cls_, folder / part, device, dtype) for part, cls_ in _modules(folder, index)}
    if isinstance(index.get(PROCESSOR), list) and (folder / PROCESSOR).is_dir():
        parts[PROCESSOR] = processor.load(folder / PROCESSOR)
    try:
        with pretrained.quiet():
            pipeline = made.from_pretrained(folder, **parts, use_safetensors=True, local_files_only=True, dtype=dtype)
    except Exception as why:  # a pipeline's parts raise whatever they like
        raise BadWeights(f"{folder} cannot be read as {found} ({pretrained.brief(why)}); fetch the model again") from why
    return pipeline.to(device)


def _modules(folder: Path, index: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The pipeline's parts with weights and their classes: loaded one by one, so that what one lacks is said in one line."""
    for part, named in index.items():
        if isinstance(named, list) and named[0] in ("diffusers", "transformers") and (folder / part / "config.json").is_file():
            made = getattr(import_module(named[0]), str(named[1]), None)
            if made is None:
                raise BadWeights(f"{folder / part} is of class {named[1]}, which {named[0]} here does not have; update it")
            yield part, made
