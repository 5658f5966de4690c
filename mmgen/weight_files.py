"""The safetensors of a folder: which there are, whether they are whole, and their digests. Opens none of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmgen import gguf_files, weight_sets
from mmgen.errors import BadWeights, NotFound
from mmgen.weight_sets import WeightSet

UNREAD = ("safety_checker",)
"""Parts of a pipeline that may be left out, and are not loaded where a model is batched step by step."""
ENLARGER = "super_resolution/model.safetensors"
"""A denoiser's own network that makes its images larger. Recipes name it by a digest of its own."""
PICKLES = {".bin", ".ckpt", ".pkl", ".pt", ".pth"}
CONVERT = (
    "python -c \"import torch; from safetensors.torch import save_file; tensors = torch.load('{old}', weights_only=True, "
    "map_location='cpu'); save_file({{name: t.clone().contiguous() for name, t in tensors.items()}}, '{new}', "
    "metadata={{'format': 'pt'}})\""
)


def weights(folder: Path) -> list[Path]:
    """The safetensors of a folder and, as diffusers keeps them, of its subfolders; the parts of a GGUF file; a single file."""
    if folder.suffix == gguf_files.SUFFIX and not folder.is_dir():
        return gguf_files.parts(folder)
    if folder.is_file():
        return [folder]
    return sorted(path for pattern in ("*.safetensors", "*/*.safetensors") for path in folder.glob(pattern))


def check(folder: Path) -> None:
    """Raises BadWeights for a folder without whole safetensors, with the command that makes them from a pickle."""
    if not weights(folder):
        pickles = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.suffix in PICKLES)
        if pickles:
            stem = "model" if pickles[0].stem == "pytorch_model" else pickles[0].stem  # as each library looks for it
            command = CONVERT.format(old=pickles[0], new=pickles[0].with_name(f"{stem}.safetensors"))
            raise BadWeights(f"{folder} holds only pickled weights, which can run code when read; convert them: {command}")
        raise BadWeights(f"{folder} holds no *.safetensors; give a model's folder")
    for part, one in _parts(folder):
        if one is not None and one.missing:
            raise BadWeights(f"{part} lacks {one.missing[0]}, {_told(one)}; copy or download it again")
    for part in _unfilled(folder):
        raise BadWeights(
            f"{part} holds no *.safetensors, which its config.json and model_index.json ask for; download it again"
        )


def used(folder: Path) -> list[Path]:
    """The files that are read, of all the variants and spellings that a folder and its subfolders may hold."""
    if not folder.is_dir():
        return weights(folder)
    parts = [(part, one.files if one else ()) for part, one in _parts(folder)]
    return sorted(part / name for part, names in parts for name in names) or weights(folder)


def _parts(folder: Path) -> Iterator[tuple[Path, WeightSet | None]]:
    """The folder, or each part of a diffusers pipeline, with the weights to read."""
    whole = None if (folder / "model_index.json").is_file() else weight_sets.in_folder(folder)
    if whole is not None:
        yield folder, whole
    else:
        yield from ((path, weight_sets.in_folder(path)) for path in sorted(folder.iterdir()) if path.is_dir())


def _told(one: WeightSet) -> str:
    return "which its index names" if one.index else "one of its shards"


def model_index(folder: Path) -> dict[str, Any] | None:
    """The parts of a diffusers pipeline, from its model_index.json; None without one. Raises BadWeights where it is damaged."""
    path = folder / "model_index.json"
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise BadWeights(f"{path} is damaged; copy or download it again") from None


def _unfilled(folder: Path) -> Iterator[Path]:
    """Parts of a diffusers pipeline without weights, as an interrupted download leaves them."""
    for part, told in (model_index(folder) or {}).items():
        place = folder / part
        if isinstance(told, list) and part not in UNREAD and (place / "config.json").is_file() and not weights(place):
            yield place


def digest(folder: Path) -> str:
    """One sha256 over all weights of a folder but its enlarger's: of the lines `sha256  name`, as `sha256sum` writes them."""
    inside = folder if folder.is_dir() else folder.parent
    names = {path.relative_to(inside).as_posix(): path for path in weights(folder)}
    lines = [f"{sha256(path)}  {name}\n" for name, path in names.items() if name != ENLARGER]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """A file's sha256. Raises NotFound where it cannot be read."""
    try:
        return sha256(path)
    except OSError as why:
        raise NotFound(f"{path} cannot be read ({why.strerror}); check the path") from None


def sha256(path: Path) -> str:
    """Read once a process, and again when the file changes."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
