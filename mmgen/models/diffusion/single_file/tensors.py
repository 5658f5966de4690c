"""The tensors of a single file: read part by part, told when they are none. Reads safetensors only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_metadata, some
from mmgen.weight_files import CONVERT

PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of torch.save begin."""


class SingleFile:
    """Names and shapes at once; tensors when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises BadWeights for a pickle, whatever its name, and for a damaged file."""
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            with path.open("rb") as file:
                head = file.read(4)
            if head.startswith(PICKLED):
                command = CONVERT.format(old=path, new=path.with_name(f"{path.stem}-converted.safetensors"))
                raise BadWeights(f"{path} is a pickle, which can run code when read; convert it: {command}")
            self._file = safe_open(path, "pt")
            self.shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in self._file.keys()}  # noqa: SIM118
        except (SafetensorError, ValueError, OSError) as why:
            raise BadWeights(f"{path} is damaged ({why}); fetch the model again") from None
        self.metadata = read_metadata(path)
        self.read: set[str] = set()

    def has(self, beginning: str) -> bool:
        """Whether any tensor's name begins so."""
        return any(name.startswith(beginning) for name in self.shapes)

    def get(self, name: str) -> Tensor:
        """In fp32 where it is stored in less; fp8 too. Raises BadWeights where it is missing, or not all of it are numbers."""
        if name not in self.shapes:
            raise BadWeights(f"{self.path} lacks {name}, so the file is not whole; fetch the model again")
        tensor: Tensor = self._file.get_tensor(name)
        if tensor.is_floating_point():
            tensor = tensor.float()
            if not bool(torch.isfinite(tensor).all()):
                raise BadWeights(f"{self.path} holds numbers that are none in {name}; the file is damaged, fetch it again")
        self.read.add(name)
        return tensor

    def check_all_read(self, beginning: str, model: str) -> None:
        """Raises BadWeights for tensors of a part that nothing was made of."""
        if left := sorted(name for name in self.shapes.keys() - self.read if name.startswith(beginning)):
            raise BadWeights(f"{self.path} has tensors that {model} has no place for: {some(left)}; it is of another kind")


def levels(file: SingleFile, pattern: str) -> int:
    """How many numbers from 0 on the pattern, with `{}`, is a beginning of names for."""
    number = 0
    while file.has(pattern.format(number)):
        number += 1
    return number


def first(file: SingleFile, names: Sequence[str]) -> str:
    """The first of these beginnings that the file has; empty for none."""
    return next((name for name in names if file.has(name)), "")
