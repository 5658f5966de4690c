"""One part of a diffusers folder, such as `unet/`: its class, its whole weights. Reads safetensors only; knows no pipeline."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.weight_files import CONVERT, PICKLES

NAMES = ("diffusion_pytorch_model", "model")
"""How diffusers and transformers call a file of weights."""
ACCEPTED_GAPS = ("position_ids",)
"""Tensors that older checkpoints lack or hold in excess, and that the class makes by itself."""


def class_name(folder: Path) -> str:
    """The class that a part's config.json names: diffusers writes `_class_name`, transformers `architectures`."""
    config = read_json(folder / "config.json")
    named = config.get("_class_name") or next(iter(config.get("architectures") or ()), "")
    if not named:
        raise BadWeights(f"{folder / 'config.json'} names no class; it is not of a diffusers checkpoint")
    return str(named)


def load(cls: Any, folder: Path, device: str, dtype: torch.dtype) -> Any:
    """A diffusers or transformers module with all of its tensors, in evaluation mode; BadWeights says what is missing."""
    variant = _variant(folder)
    try:
        with quiet():
            module, info = cls.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                variant=variant,
                output_loading_info=True,
                dtype=dtype,
            )
    except Exception as why:  # the libraries raise OSError, ValueError, RuntimeError, SafetensorError, AttributeError ...
        raise BadWeights(f"{folder} cannot be read as {cls.__name__} ({brief(why)}); fetch the model again") from why
    missing = sorted(name for name in info["missing_keys"] if not name.endswith(ACCEPTED_GAPS))
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise BadWeights(f"{folder} lacks {', '.join(missing[:4])}{more}; fetch the model again")
    if info["mismatched_keys"]:
        raise BadWeights(f"{folder} has {len(info['mismatched_keys'])} tensors of another shape than its config.json says")
    assert isinstance(module, nn.Module)
    return module.requires_grad_(False).eval().to(device)


def _variant(folder: Path) -> str | None:
    """None, or the variant ("fp16") that is all there is. Raises BadWeights where there are no safetensors."""
    files = list(folder.glob("*.safetensors"))
    if any(path.name.startswith(f"{name}{mark}") for path in files for name in NAMES for mark in (".safetensors", "-0")):
        return None
    named = sorted({path.name.split(".")[1] for path in files if path.name.split(".")[0] in NAMES})
    if named:
        return named[0]
    pickles = sorted(path for path in folder.glob("*") if path.suffix in PICKLES)
    if pickles:
        command = CONVERT.format(old=pickles[0], new=pickles[0].with_suffix(".safetensors"))
        raise BadWeights(f"{folder} holds only pickled weights, which can run code when read; convert them: {command}")
    raise BadWeights(f"{folder} holds no *.safetensors; copy or download the model again")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own bars and their reports on keys: `load` says it in one line."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    libraries: tuple[Any, ...] = (diffusers, transformers)
    levels = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity(logging.CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level, bar in zip(libraries, levels, bars, strict=True):
            library.set_verbosity(level)
            if bar:
                library.enable_progress_bar()


def brief(why: Exception) -> str:
    message = " ".join(str(why).split())
    return message[:160] + ("..." if len(message) > 160 else "") or type(why).__name__
