"""The tensors of a single file: read part by part, told when they are none. Reads safetensors only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_metadata, some, unreadable

SCALES = (".scale_weight", ".weight_scale")
"""Ends of names, behind a layer's, of what its fp8 weights are multiplied with."""
BESIDE = (*SCALES, ".scale_input", ".input_scale", "scaled_fp8", ".comfy_quant")
"""Ends of names of tensors that say how weights and inputs are rounded; inputs are not rounded here."""


class SingleFile:
    """Names and shapes at once; tensors when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises BadWeights for a pickle, whatever its name, and for a damaged file."""
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            self._file = safe_open(path, "pt")
            self.shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in self._file.keys()}  # noqa: SIM118
        except (SafetensorError, ValueError, OSError) as why:
            raise unreadable(path, why) from None
        self.metadata = read_metadata(path)
        self.read: set[str] = set()

    def has(self, beginning: str) -> bool:
        """Whether any tensor's name begins so."""
        return any(name.startswith(beginning) for name in self.shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises BadWeights where it is missing."""
        if name not in self.shapes:
            raise BadWeights(f"{self.path} lacks {name}, so the file is not whole; fetch the model again")
        return self.shapes[name]

    def get(self, name: str) -> Tensor:
        """In fp32 where it is stored in less; fp8 too, times its scale.

        Raises BadWeights where it is missing, packed in another way, or not all of it are numbers.
        """
        self.shape(name)
        tensor: Tensor = self._file.get_tensor(name)
        if tensor.dtype in (torch.uint8, torch.int8) and name.endswith(".weight"):
            kind = f"{self.path} holds weights of {str(tensor.dtype).removeprefix('torch.')} ({name})"
            raise BadWeights(f"{kind}, a form that is not read here; take the fp16, bf16, fp8 or GGUF file")
        if tensor.is_floating_point():
            tensor = self._scaled(name, tensor.float())
            if not bool(torch.isfinite(tensor).all()):
                raise BadWeights(f"{self.path} holds numbers that are none in {name}; the file is damaged, fetch it again")
        self.read.add(name)
        return tensor

    def _scaled(self, name: str, tensor: Tensor) -> Tensor:
        layer = name.removesuffix(".weight")
        for scale in (f"{layer}{end}" for end in SCALES if layer != name):
            if scale in self.shapes:
                factor: Tensor = self._file.get_tensor(scale).float()
                if factor.numel() not in (1, len(tensor)):
                    raise BadWeights(f"{self.path}: {scale} has {factor.numel()} scales for {len(tensor)} rows; not read here")
                return tensor * factor.reshape(-1, *[1] * (tensor.dim() - 1))
        return tensor

    def check_all_read(self, beginning: str, model: str) -> None:
        """Raises BadWeights for tensors of a part that nothing was made of."""
        left = sorted(
            name for name in self.shapes.keys() - self.read if name.startswith(beginning) and not name.endswith(BESIDE)
        )
        if left:
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
