"""Folders of language models with rounded weights: int8 a row, or int4 a group. Knows tensors and names; runs nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_checkpoint, gguf_tokenizer, mistral_native, quantization_config, safetensors_io
from mmgen.models.checkpoints.convert import Checkpoint, drawn
from mmgen.models.checkpoints.dequantized import DequantizedTensors
from mmgen.models.quantization import int4

Precision = Literal["int8", "int4"]
OTHERS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja", "special_tokens_map.json")
KEY = "mmgen_precision"
"""In config.json: how the weights of model.safetensors are rounded."""


def packed(module: nn.Module, state: Mapping[str, Tensor], precision: Precision) -> dict[str, Tensor]:
    """What a file holds. Matrices that int4 does not fit, and word vectors, are int8; vectors are fp16."""
    if precision == "int8":
        return safetensors_io.packed(state)
    out: dict[str, Tensor] = {}
    linear = {f"{name}.weight": one for name, one in module.named_modules() if isinstance(one, nn.Linear)}
    for name, tensor in state.items():
        if name not in linear or not int4.fits(linear[name]):
            out |= safetensors_io.packed({name: tensor})
            continue
        numbers, scale, offset = int4.rounded(tensor)
        out[name] = numbers[:, ::2] | numbers[:, 1::2] << 4
        out |= {f"{name}.scale": scale, f"{name}.offset": offset}
    return out


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed`, as fp32. Raises BadWeights where scales are missing."""
    plain, out = dict(tensors), {}
    for name in [name for name, tensor in tensors.items() if tensor.dtype == torch.uint8]:
        if f"{name}.scale" not in plain or f"{name}.offset" not in plain:
            raise BadWeights(f"weights hold {name} as int4 without its scales; the file is not whole")
        pairs = plain.pop(name)
        numbers = torch.stack((pairs & 15, pairs >> 4), 2).flatten(1)
        out[name] = int4.restored(numbers, plain.pop(f"{name}.scale"), plain.pop(f"{name}.offset"))
    return {**out, **safetensors_io.unpacked(plain)}


class QuantizedTensors(Checkpoint):
    """A rounded folder's tensors as fp32, read as any checkpoint is."""

    dtype = torch.float32

    def __init__(self, folder: Path) -> None:
        self.folder, self.tensors = folder, unpacked(safetensors_io.read(folder / "model.safetensors"))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def precision_of(folder: Path) -> str:
    """How a folder's weights are rounded; "": they are not."""
    return str(gguf_checkpoint.config_values(folder).get(KEY, ""))


def checkpoint(folder: Path, values: Mapping[str, Any]) -> Checkpoint:
    """A folder's tensors, rounded or not; `values`: its config.json.

    Raises BadWeights for weights that are rounded in a way that is not read, or that nothing tells of.
    """
    if KEY in values:
        return QuantizedTensors(folder)
    kind = quantization_config.find(folder, values)
    if kind is not None:
        return DequantizedTensors(folder, kind, values)
    whole = Checkpoint(folder)
    if mistral_native.is_native(whole):
        return mistral_native.MistralTensors(whole, values)
    quantization_config.check_told(folder, whole)
    return whole


def save(lm: Any, source: Path, folder: Path, precision: Precision) -> None:
    """Writes a `LanguageModel` rounded, in our own names, and takes tokenizer and template over from `source`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.float() for name, tensor in drawn(lm, lm.names()).items()}
    save_file(packed(lm, state, precision), folder / "model.safetensors", metadata={"format": "pt"})
    told = gguf_checkpoint.config_values(source)
    ids = {key: value for key, value in told.items() if key.endswith("_token_id")}
    values = {"model_type": "mmgen", KEY: precision, "transformer": asdict(lm.config), **ids}
    (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    copy_tokenizer(source, folder)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """A checkpoint's tokenizer, template and rules of generation; of a GGUF file as files of their own."""
    for name in OTHERS:
        if (source / name).is_file():
            shutil.copy(source / name, folder)
    if (file := gguf_checkpoint.find(source)) is not None:
        gguf_tokenizer.fast(file).save(str(folder / "tokenizer.json"))
        words = {**gguf_tokenizer.special_tokens(file), "chat_template": gguf_tokenizer.chat_template(file)}
        (folder / "tokenizer_config.json").write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")
