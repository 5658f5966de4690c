"""Writes GGUF: a language model's tensors, rounded, with the metadata that llama.cpp needs to run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmgen.models.checkpoints.gguf_header import ARRAY
from mmgen.models.checkpoints.gguf_reader import GGUFFile
from mmgen.models.quantization.q4_k import q4_k

FILE_TYPES = {"q8_0": 7, "q4_0": 2, "q4_1": 3, "q4_k": 14}
"""What general.file_type says, by the type of most matrices."""
FINE = ("token_embd.weight", "output.weight")
"""Matrices that are Q8_0 in any case: every word passes through them."""
EXACT = ("ffn_gate_inp.weight",)
"""Ends of names of matrices that stay in float32: small, and a router's mistakes cost much."""
ARCHITECTURE = "general.architecture"


class Entry(NamedTuple):
    """A value of the metadata with its kind, and of what kind the parts of an array are."""

    value: Any
    kind: int
    part: int | None = None


def rounded(name: str, weight: Tensor, to: str) -> tuple[str, Tensor]:
    """A float32 tensor as it is written: the name of its type, and uint8 (..., bytes of a row).

    Rows that no block fits are Q8_0, or else F16.
    """
    columns = weight.shape[-1]
    if weight.dim() == 1 or name.endswith(EXACT):
        return "F32", weight.contiguous().view(torch.uint8)
    kind = "Q8_0" if name in FINE or columns % (256 if to == "q4_k" else 32) else to.upper()
    if columns % 32:
        return "F16", weight.half().contiguous().view(torch.uint8)
    flat = weight.reshape(-1, columns)
    if kind == "Q4_K":
        return kind, q4_k(flat).view(*weight.shape[:-1], -1)
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    blocks = torch.from_numpy(quantize(flat.contiguous().numpy(), GGMLQuantizationType[kind]))
    return kind, blocks.view(*weight.shape[:-1], -1)


def write(
    path: Path, metadata: Mapping[str, Entry], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor], to: str
) -> None:
    """Tensors are read, rounded and written one after another.

    Args:
        metadata: with general.architecture.
        shapes: of all tensors, by GGUF's names.
        read: a tensor of these as float32.
        to: the type of most matrices: q8_0, q4_0, q4_1 or q4_k.
    """
    import gguf

    writer = gguf.GGUFWriter(path, metadata[ARCHITECTURE].value)
    for key, entry in metadata.items():
        if key != ARCHITECTURE and not key.startswith(("split.", "general.file_type", "general.quantization_version")):
            kind, part = gguf.GGUFValueType(entry.kind), None if entry.part is None else gguf.GGUFValueType(entry.part)
            if entry.value != []:  # which its writer does not take
                writer.add_key_value(key, entry.value, kind, sub_type=part)
    writer.add_file_type(FILE_TYPES[to])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    kinds = {}
    for name, shape in shapes.items():
        kinds[name], one = rounded(name, torch.zeros(1, *shape[1:]) if len(shape) > 1 else torch.zeros(shape), to)
        nbytes = one.nbytes * (shape[0] if len(shape) > 1 else 1)
        stored = (*shape[:-1], one.shape[-1]) if len(shape) > 1 else (one.shape[-1],)
        writer.add_tensor_info(name, stored, one.numpy().dtype, nbytes, raw_dtype=gguf.GGMLQuantizationType[kinds[name]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name in shapes:
        writer.write_tensor_data(rounded(name, read(name), to)[1].numpy())
    writer.close()


def requantize(file: GGUFFile, path: Path, to: str) -> None:
    """Another GGUF of the same model, all in one file."""
    metadata = {key: Entry(value, *file.kinds[key]) for key, value in file.metadata.items()}
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    write(path, metadata, shapes, lambda name: file.tensors[name].values(), to)


def entries(values: Mapping[str, Any]) -> dict[str, Entry]:
    """Metadata of plain values: whole numbers in 32 bits, None left out."""
    return {key: _entry(value) for key, value in values.items() if value is not None}


def _entry(value: Any) -> Entry:
    if isinstance(value, Iterable) and not isinstance(value, str):
        parts = list(value)
        return Entry(parts, ARRAY, 5 if parts and isinstance(parts[0], int) else _entry(parts[0] if parts else "").kind)
    kind = 7 if isinstance(value, bool) else 4 if isinstance(value, int) else 6 if isinstance(value, float) else 8
    return Entry(value, kind)
