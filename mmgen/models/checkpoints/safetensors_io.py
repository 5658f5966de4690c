"""Safetensors and JSON files: read, packed as int8, copied into a module. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.weight_files import CONVERT

PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of torch.save begin."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; BadWeights where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadWeights(f"{path.parent} has no {path.name}; give a folder that holds a whole checkpoint") from None
    except (ValueError, OSError) as why:
        raise BadWeights(f"{path} cannot be read ({why}); fetch the model again") from None
    if not isinstance(value, dict):
        raise BadWeights(f"{path} is no JSON object; fetch the model again")
    return value


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; BadWeights where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise BadWeights(f"{path.parent} has no {path.name}; only safetensors are read") from None
    except (SafetensorError, ValueError, OSError) as why:
        raise unreadable(path, why) from None


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file's header says besides its tensors; BadWeights where it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError:
        raise BadWeights(f"{path.parent} has no {path.name}; only safetensors are read") from None
    except (SafetensorError, ValueError, OSError) as why:
        raise unreadable(path, why) from None


def unreadable(path: Path, why: Exception) -> BadWeights:
    """The error for a file that safetensors does not read: a pickle, what was downloaded in its stead, or damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        head = b""
    if head.startswith(PICKLED):
        command = CONVERT.format(old=path, new=path.with_name(f"{path.stem}-converted.safetensors"))
        return BadWeights(f"{path} is a pickle, which can run code when read; convert it: {command}")
    if head.startswith(b"version https://git-lfs"):
        return BadWeights(f"{path} is a pointer of Git LFS and not the file itself; fetch that with git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return BadWeights(f"{path} is a web page, which a server sent instead of the file; log in there and fetch it again")
    if head.startswith(b"GGUF"):
        return BadWeights(f"{path} is a GGUF file; call it {path.with_suffix('.gguf').name}")
    return BadWeights(f"{path} is damaged ({why}); fetch the model again")


def finite(module: nn.Module, source: Path) -> None:
    """Raises BadWeights where a parameter is not a number or infinite."""
    for name, weight in module.named_parameters():
        if weight.is_meta or not weight.is_floating_point() or weight.element_size() == 1:
            continue
        whole = weight.detach()
        if not bool(whole.sum(dtype=torch.float32).isfinite()) and not bool(whole.isfinite().all()):
            raise BadWeights(f"{source} holds numbers that are none in {name}; the file is damaged, fetch it again")


def packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For a small file: matrices as int8 with one fp16 scale a row (`NAME.scale`), everything else as fp16."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.dim() == 2:
            scale = (tensor.abs().amax(1) / 127).clamp(min=1e-7).half()
            out[name] = (tensor / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
            out[f"{name}.scale"] = scale
        else:
            out[name] = tensor.half().contiguous()
    return out


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed`, as fp32; BadWeights for an int8 matrix without its scales."""
    scales = {name.removesuffix(".scale"): t for name, t in tensors.items() if name.endswith(".scale")}
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(".scale"):
            continue
        if tensor.dtype == torch.int8 and name not in scales:
            raise BadWeights(f"weights hold {name} as int8 without its scales; the file is not whole")
        out[name] = tensor.float() * scales[name].float()[:, None] if name in scales else tensor.float()
    return out


def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies tensors into a module, in the module's own dtype; every name and shape must agree, or BadWeights."""
    state = module.state_dict()
    if missing := sorted(set(state) - set(tensors)):
        raise BadWeights(f"weights lack {some(missing)}; the file is not whole or of another model")
    if extra := sorted(set(tensors) - set(state)):
        raise BadWeights(f"weights hold {some(extra)}, which this architecture has not")
    wrong = [f"{name} {tuple(tensors[name].shape)} instead of {tuple(t.shape)}" for name, t in state.items()
             if tensors[name].shape != t.shape]  # fmt: skip
    if wrong:
        raise BadWeights(f"weights of another shape than the configuration says: {some(wrong)}")
    module.load_state_dict(dict(tensors))


def some(names: Iterable[str], most: int = 4) -> str:
    """The first few names of an error message, and how many more there are."""
    names = list(names)
    return "nothing" if not names else ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
