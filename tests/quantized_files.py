"""Tiny checkpoints with weights rounded as other programs round and store them: naive twins, from their documentation."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import checkpoints
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]
Rounded = tuple[Tensor, Tensors]
"""What a matrix's numbers stand for, and the tensors that a file holds, by the ends of their names."""

NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
FP4 = (0.0, 0.0052083333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def words(numbers: Tensor, bits: int) -> Tensor:
    """(rows, n) -> (rows, n * bits / 32) int32, the first number lowest, through Python's integers."""
    out = []
    for row in numbers.tolist():
        whole = sum(number << bits * n for n, number in enumerate(row))
        count = -(-len(row) * bits // 32)
        out.append([whole >> 32 * n & 0xFFFFFFFF for n in range(count)])
    return torch.tensor(out, dtype=torch.int64).to(torch.int32)


def integers(weight: Tensor, bits: int, group: int, symmetric: bool = False, order: Sequence[int] | None = None) -> Any:
    """Numbers (out, in), scales and zeros (out, groups), and each column's group. `order`: columns as they are rounded."""
    most, columns = (1 << bits) - 1, list(order) if order else list(range(weight.shape[1]))
    group_of = torch.empty(len(columns), dtype=torch.int32)
    numbers = torch.empty(weight.shape, dtype=torch.int32)
    scales, zeros = [], []
    for n in range(0, len(columns), group):
        some = columns[n : n + group]
        part = weight[:, some]
        if symmetric:
            scale = (part.abs().amax(1) / (most // 2)).half()
            zero = torch.full_like(scale, (most + 1) // 2)
        else:
            low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
            scale = ((high - low) / most).half()
            zero = (-low / scale.float()).round().half()
        numbers[:, some] = ((part / scale.float()[:, None]).round() + zero[:, None]).clamp(0, most).int()
        group_of[some] = n // group
        scales.append(scale)
        zeros.append(zero.int())
    return numbers, torch.stack(scales, 1), torch.stack(zeros, 1), group_of


def meant(numbers: Tensor, scale: Tensor, zero: Tensor, group_of: Tensor) -> Tensor:
    return (numbers - zero[:, group_of.long()]) * scale.float()[:, group_of.long()]


def gptq(
    bits: int = 4, group: int = 32, symmetric: bool = True, act_order: bool = False, version: int = 1, index: bool = True
) -> Any:
    def store(weight: Tensor) -> Rounded:
        inputs = torch.Generator().manual_seed(weight.shape[1])  # layers that read the same have one order
        order = torch.randperm(weight.shape[1], generator=inputs).tolist() if act_order else None
        numbers, scale, zero, group_of = integers(weight, bits, group, symmetric, order)
        kept = (zero - 1) % (1 << bits) if version == 1 else zero
        stored = {
            ".qweight": words(numbers, bits).t(), ".qzeros": words(kept.t(), bits), ".scales": scale.t(), ".g_idx": group_of,
        }  # fmt: skip
        if not index:
            del stored[".g_idx"]
        return meant(numbers, scale, zero, group_of), stored

    told = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act_order, "sym": symmetric}
    return store, {**told, "checkpoint_format": "gptq" if version == 1 else "gptq_v2"}


def awq(group: int = 32) -> Any:
    def store(weight: Tensor) -> Rounded:
        numbers, scale, zero, group_of = integers(weight, 4, group)
        order = [8 * n + m for n in range(len(weight) // 8) for m in (0, 2, 4, 6, 1, 3, 5, 7)]
        stored = {".qweight": words(numbers.t()[:, order], 4), ".qzeros": words(zero.t()[:, order], 4), ".scales": scale.t()}
        return meant(numbers, scale, zero, group_of), stored

    return store, {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"}


def _groups(form: str, bits: int, kind: str, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "symmetric": True, **more}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "format": form}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


def packed(bits: int = 4, group: int = 32, symmetric: bool = True) -> Any:
    def store(weight: Tensor) -> Rounded:
        numbers, scale, zero, group_of = integers(weight, bits, group, symmetric)
        stored = {
            ".weight_packed": words(numbers, bits), ".weight_scale": scale.bfloat16(),
            ".weight_shape": torch.tensor(weight.shape),
        }  # fmt: skip
        if not symmetric:
            stored[".weight_zero_point"] = words(zero.t(), bits).t()
        return meant(numbers, scale.bfloat16(), zero, group_of), stored

    return store, _groups("pack-quantized", bits, "int", strategy="group", group_size=group, symmetric=symmetric)


def int8_rows() -> Any:
    def store(weight: Tensor) -> Rounded:
        scale = weight.abs().amax(1, keepdim=True) / 127
        numbers = (weight / scale).round().to(torch.int8)
        return numbers.float() * scale, {".weight": numbers, ".weight_scale": scale}

    return store, _groups("int-quantized", 8, "int", strategy="channel")


def float8(block: int | None = None, form: str = "", each: str = "row") -> Any:
    """compressed-tensors' `float-quantized`, or with a block size, or by FBGEMM or ModelOpt."""

    def store(weight: Tensor) -> Rounded:
        rows, columns = weight.shape
        high, wide = (block, block) if block else (1 if each == "row" else rows, columns)
        scale = torch.stack(
            [
                torch.stack([weight[n : n + high, m : m + wide].abs().max() / 448 for m in range(0, columns, wide)])
                for n in range(0, rows, high)
            ]
        )
        full = scale.repeat_interleave(high, 0)[:rows].repeat_interleave(wide, 1)[:, :columns]
        numbers = (weight / full).to(torch.float8_e4m3fn)
        end = ".weight_scale_inv" if block else ".weight_scale"
        stored = {".weight": numbers, end: scale if each == "row" else scale.reshape(())}
        return numbers.float() * full, stored

    if block:
        return store, {"quant_method": "fp8", "weight_block_size": [block, block], "activation_scheme": "dynamic"}
    if form == "modelopt":
        return store, {"quant_method": "modelopt", "quant_algo": "FP8"}
    return store, {"quant_method": form} if form else _groups("float-quantized", 8, "float", strategy="channel")


def bnb4(kind: str = "nf4", nested: bool = True) -> Any:
    code = torch.tensor(NF4 if kind == "nf4" else [*FP4, *(-one for one in FP4)])

    def store(weight: Tensor) -> Rounded:
        blocks = weight.flatten().unflatten(0, (-1, 64))
        largest = blocks.abs().amax(1)
        state = {"quant_type": kind, "blocksize": 64, "dtype": "bfloat16", "shape": list(weight.shape)}
        stored = {".weight.quant_map": code, ".weight.absmax": largest}
        if nested:
            offset, steps = float(largest.mean()), torch.linspace(-1, 1, 256)
            most = (largest - offset).abs().max()
            stored[".weight.absmax"] = ((largest - offset)[:, None] / most - steps).abs().argmin(1).to(torch.uint8)
            stored |= {".weight.nested_absmax": most[None], ".weight.nested_quant_map": steps}
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
            largest = steps[stored[".weight.absmax"].long()] * most + offset
        numbers = ((blocks / largest[:, None])[..., None] - code).abs().argmin(2)
        pairs = numbers.flatten().unflatten(0, (-1, 2)).to(torch.uint8)
        stored[".weight"] = (pairs[:, 0] << 4 | pairs[:, 1])[:, None]
        stored[f".weight.quant_state.bitsandbytes__{kind}"] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
        return (code[numbers] * largest[:, None]).view(weight.shape), stored

    return store, {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind}


def bnb8() -> Any:
    def store(weight: Tensor) -> Rounded:
        most = weight.abs().amax(1)
        numbers = (weight / most[:, None] * 127).round().to(torch.int8)
        stored = {".weight": numbers, ".SCB": most, ".weight_format": torch.tensor(0, dtype=torch.uint8)}
        return numbers.float() * most[:, None] / 127, stored

    return store, {"quant_method": "bitsandbytes", "load_in_8bit": True}


def nvfp4(owner: str = "compressed-tensors") -> Any:
    code = torch.tensor([*E2M1, *(-one for one in E2M1)])

    def store(weight: Tensor) -> Rounded:
        blocks = weight.unflatten(1, (-1, 16))
        overall = 448 * 6 / weight.abs().max()
        scale = (blocks.abs().amax(2) / 6 * overall).to(torch.float8_e4m3fn)
        step = (scale.float() / overall)[..., None]
        numbers = ((blocks / step)[..., None] - code).abs().argmin(3)
        pairs = numbers.flatten(1).unflatten(1, (-1, 2)).to(torch.uint8)
        both = pairs[..., 0] | pairs[..., 1] << 4
        full = (code[numbers] * step).flatten(1)
        if owner == "modelopt":
            return full, {".weight": both, ".weight_scale": scale, ".weight_scale_2": 1 / overall}
        return full, {".weight_packed": both, ".weight_scale": scale, ".weight_global_scale": overall[None]}

    if owner == "modelopt":
        return store, {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    return store, _groups("nvfp4-pack-quantized", 4, "float", strategy="tensor_group", group_size=16)


def mlx(bits: int = 4, group: int = 32) -> Any:
    def store(weight: Tensor) -> Rounded:
        numbers, scale, zero, group_of = integers(weight, bits, group)
        offset = -zero * scale
        full = numbers * scale.float()[:, group_of.long()] + offset.float()[:, group_of.long()]
        return full, {".weight": words(numbers, bits).view(torch.uint32), ".scales": scale, ".biases": offset}

    return store, {"bits": bits, "group_size": group}


FORMATS: dict[str, Any] = {
    "awq": awq(),
    "gptq": gptq(),
    "gptq-asymmetric": gptq(symmetric=False, index=False),
    "gptq-8": gptq(8),
    "gptq-3": gptq(3),
    "gptq-act-order": gptq(act_order=True, symmetric=False),
    "gptq-v2": gptq(symmetric=False, version=2),
    "packed-4": packed(),
    "packed-4-asymmetric": packed(symmetric=False),
    "packed-8": packed(8),
    "int8-rows": int8_rows(),
    "float8-rows": float8(),
    "float8-blocks": float8(block=48),
    "fbgemm": float8(form="fbgemm_fp8"),
    "modelopt": float8(form="modelopt", each="tensor"),
    "nf4": bnb4(),
    "fp4": bnb4("fp4", nested=False),
    "bnb-int8": bnb8(),
    "nvfp4": nvfp4(),
    "modelopt-nvfp4": nvfp4("modelopt"),
    "mlx": mlx(),
    "mlx-6": mlx(6),
}


def write(folder: Path, kind: str, family: str = "llama", pattern: str = r"proj\.weight$") -> Any:
    """A folder whose linear layers of that pattern are rounded so; transformers' model with what its weights stand for."""
    store, told = FORMATS[kind]
    theirs = checkpoints.saved(checkpoints.FAMILIES[family], folder)
    meant, out = {}, {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if not re.search(pattern, name):
            out[name] = meant[name] = tensor
            continue
        meant[name], stored = store(tensor)
        assert (meant[name] - tensor).norm() / tensor.norm() < 0.3
        out |= {name.removesuffix(".weight") + end: one.contiguous() for end, one in stored.items()}
    rewrite(folder, meant, {})
    theirs = type(theirs).from_pretrained(folder).eval()
    rewrite(folder, out, {"quantization" if kind.startswith("mlx") else "quantization_config": told})
    return theirs


def rewrite(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any], stem: str = "model") -> None:
    save_file({name: one.clone() for name, one in tensors.items()}, folder / f"{stem}.safetensors", {"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
