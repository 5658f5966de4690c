"""One part of a diffusers folder, such as `unet/`: its class, its whole weights. Reads safetensors only; knows no pipeline."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from mmgen import weight_sets
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import restored
from mmgen.models.checkpoints.convert import Checkpoint
from mmgen.models.checkpoints.safetensors_io import finite, read_json
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


def load(cls: Any, folder: Path, device: str, dtype: torch.dtype | str) -> Any:
    """A diffusers or transformers module with all of its tensors, in evaluation mode; BadWeights says what is missing.

    `dtype`: "auto", in transformers, as they are saved. Weights that another program rounded are restored.
    """
    rounded = restored.find(folder)
    with plainly_named(folder) as place:
        try:
            with quiet():
                if rounded is not None:
                    module, info = restored.load(cls, folder, rounded, dtype)
                else:
                    module, info = cls.from_pretrained(
                        place, use_safetensors=True, local_files_only=True, output_loading_info=True, dtype=dtype
                    )
        except BadWeights:
            raise
        except Exception as why:  # the libraries raise OSError, ValueError, RuntimeError, SafetensorError, AttributeError ...
            raise BadWeights(f"{folder} cannot be read as {cls.__name__} ({brief(why)}); fetch the model again") from why
    missing = sorted(name for name in info["missing_keys"] if not name.endswith(ACCEPTED_GAPS))
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise BadWeights(f"{folder} lacks {', '.join(missing[:4])}{more}; fetch the model again")
    if info["mismatched_keys"]:
        raise BadWeights(f"{folder} has {len(info['mismatched_keys'])} tensors of another shape than its config.json says")
    assert isinstance(module, nn.Module)
    finite(module, folder)
    return module.requires_grad_(False).eval().to(device)


@contextmanager
def plainly_named(folder: Path) -> Iterator[Path]:
    """A folder whose weights are called as transformers and diffusers expect them: the folder itself, or links to its files.

    Files of a variant (fp16), whole or in shards, with an index or without: all get the names of the plain ones. Raises
    BadWeights where there are no safetensors.
    """
    chosen = weight_sets.in_folder(folder)
    if chosen is None or not chosen.files:
        raise BadWeights(_lacking(folder))
    if chosen.plain:
        yield folder
        return
    stem = chosen.stem if chosen.stem in NAMES else "model"
    with TemporaryDirectory(prefix="mmgen-") as made:
        place = Path(made) / folder.name
        place.mkdir()
        for path in folder.iterdir():
            if path.is_file() and path.name not in chosen.files and not weight_sets.is_weights(path.name):
                (place / path.name).symlink_to(path.resolve())
        _link(folder, place, stem, chosen.files)
        yield place


def _link(folder: Path, place: Path, stem: str, files: Sequence[str]) -> None:
    """Links to weights under plain names, and an index of the shards."""
    if len(files) == 1:
        (place / f"{stem}.safetensors").symlink_to((folder / files[0]).resolve())
        return
    checkpoint = Checkpoint(folder)
    named = {folder / name: f"{stem}-{n:05}-of-{len(files):05}.safetensors" for n, name in enumerate(files, 1)}
    for path, name in named.items():
        (place / name).symlink_to(path.resolve())
    index = {"metadata": {}, "weight_map": {tensor: named[path] for tensor, path in checkpoint.files.items()}}
    (place / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def _lacking(folder: Path) -> str:
    pickles = sorted(path for path in folder.glob("*") if path.suffix in PICKLES)
    if pickles:
        command = CONVERT.format(old=pickles[0], new=pickles[0].with_suffix(".safetensors"))
        return f"{folder} holds only pickled weights, which can run code when read; convert them: {command}"
    return f"{folder} holds no *.safetensors; copy or download the model again"


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
