"""The safetensors of a folder: which there are, whether they are whole, and their digests. Opens none of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from mmgen.errors import BadWeights, NotFound

PICKLES = {".bin", ".ckpt", ".pkl", ".pt", ".pth"}
CONVERT = (
    "python -c \"import torch; from safetensors.torch import save_file; tensors = torch.load('{old}', weights_only=True, "
    "map_location='cpu'); save_file({{name: t.clone().contiguous() for name, t in tensors.items()}}, '{new}', "
    "metadata={{'format': 'pt'}})\""
)


def weights(folder: Path) -> list[Path]:
    """The safetensors of a folder and, as diffusers keeps them, of its subfolders."""
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
    if missing := next(_missing_shards(folder), None):
        raise BadWeights(f"{folder} lacks {missing}, which its index names; copy or download it again")


def digest(folder: Path) -> str:
    """One sha256 over all weights of a folder: of the lines `sha256  name` of its safetensors, as `sha256sum` writes them."""
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in weights(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """A file's sha256. Raises NotFound where it cannot be read."""
    try:
        return sha256(path)
    except OSError as why:
        raise NotFound(f"{path} cannot be read ({why.strerror}); check the path") from None


def _missing_shards(folder: Path) -> Iterator[str]:
    for pattern in ("*.safetensors.index.json", "*/*.safetensors.index.json"):
        for index in folder.glob(pattern):
            try:
                shards = set(json.loads(index.read_text())["weight_map"].values())
            except (ValueError, KeyError, AttributeError):
                raise BadWeights(f"{index} is damaged; copy or download it again") from None
            yield from sorted(shard for shard in shards if not (index.parent / shard).is_file())


def sha256(path: Path) -> str:
    """Read once a process, and again when the file changes."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
