"""Modules of transformers and diffusers from weights that another program rounded: restored as they are asked for.

The libraries themselves need a package, and often a GPU, for each way of rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.models.checkpoints import quantization_config
from mmgen.models.checkpoints.dequantized import DequantizedTensors
from mmgen.models.checkpoints.safetensors_io import read_json


class RestoredSlice:
    """What transformers takes for a slice of a safetensors file: `[...]` reads it."""

    def __init__(self, checkpoint: DequantizedTensors, name: str) -> None:
        self.checkpoint, self.name = checkpoint, name

    def __getitem__(self, index: Any) -> Tensor:
        return self.checkpoint[self.name][index]

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self.get_shape())

    def get_shape(self) -> list[int]:
        return list(self.checkpoint.shape(self.name))

    def get_dtype(self) -> str:
        return "F32"


def find(folder: Path) -> DequantizedTensors | None:
    """The tensors of a folder whose weights are rounded; None: they are whole, or there is no config.json.

    Raises BadWeights for weights that are rounded in a way that is not read.
    """
    if not (folder / "config.json").is_file():
        return None
    values = read_json(folder / "config.json")
    kind = quantization_config.find(folder, values)
    return None if kind is None else DequantizedTensors(folder, kind, values)


def load(cls: Any, folder: Path, checkpoint: DequantizedTensors, dtype: torch.dtype | str) -> tuple[Any, dict[str, Any]]:
    """A module, and what `from_pretrained` says of missing keys. `dtype`: "auto", what config.json computes in."""
    chosen = checkpoint.dtype if isinstance(dtype, str) else dtype
    if cls.__module__.startswith("diffusers."):
        return _diffusers(cls, folder, checkpoint, chosen)
    from transformers import AutoConfig, GenerationConfig
    from transformers.models.auto.auto_factory import _get_model_class

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    for part in (config, *(getattr(config, name) for name in getattr(config, "sub_configs", ()) if hasattr(config, name))):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    state = {name: RestoredSlice(checkpoint, name) for name in checkpoint}
    mapping = getattr(cls, "_model_mapping", None)  # an Auto class asks for files, which there are none of
    made = cls if mapping is None else _get_model_class(config, mapping)
    module, info = made.from_pretrained(None, config=config, state_dict=state, output_loading_info=True, dtype=chosen)
    if (folder / "generation_config.json").is_file() and module.can_generate():
        module.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return module, info


def _diffusers(cls: Any, folder: Path, checkpoint: DequantizedTensors, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    told = {key: value for key, value in cls.load_config(folder, local_files_only=True).items() if key != "quantization_config"}
    module = cls.from_config(told).to(dtype)
    state = module.state_dict()
    fits = {name for name in checkpoint if name in state and checkpoint.shape(name) == state[name].shape}
    with torch.no_grad():
        for name in fits:
            state[name].copy_(checkpoint[name])
    other = [name for name in checkpoint if name in state and name not in fits]
    return module, {"missing_keys": sorted(set(state) - set(checkpoint)), "mismatched_keys": other}
