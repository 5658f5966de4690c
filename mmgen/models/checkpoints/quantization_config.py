"""What a folder says of how its weights are rounded: `quantization_config` and its older forms, as formats that are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.quantization.formats.bnb import Blocks4, Int8Rows
from mmgen.models.quantization.formats.compressed import PackedIntegers, ScaledMatrices
from mmgen.models.quantization.formats.fp4 import Mxfp4Experts, PackedFloat4
from mmgen.models.quantization.formats.fp8 import Float8
from mmgen.models.quantization.formats.gptq import Awq, Gptq
from mmgen.models.quantization.formats.mlx import Mlx
from mmgen.models.quantization.formats.stored import Format

READ = "awq, gptq, auto-round, compressed-tensors, fp8, fbgemm_fp8, modelopt, bitsandbytes, mxfp4 and MLX"
REMEDY = "take the model's original weights, a GGUF of it, or one of these"
MARKS = re.compile(r"\.(qweight|qzeros|weight_packed|weight_scale_inv|weight_scale|SCB|absmax)$|_proj_blocks$|\.scales$")
"""Names of tensors that only rounded weights have."""


@dataclass(frozen=True)
class QuantizedWeights:
    """How the weights of a folder are stored."""

    method: str  # as config.json calls it
    formats: tuple[Format, ...]  # the first whose mark a name has


def find(folder: Path, values: Mapping[str, Any]) -> QuantizedWeights | None:
    """From config.json (`values`), or quantize_config.json or quant_config.json beside it; None: weights are stored whole.

    Raises BadWeights for a method or a variant of one that is not read.
    """
    told = _told(folder, values)
    if told is None:
        return None
    if "quant_method" not in told and "group_size" in told and "bits" in told:
        return QuantizedWeights("mlx", (_mlx(told, folder),))
    method = str(told.get("quant_method", told.get("quant_algo", "unknown")))
    maker = MAKERS.get(re.sub(r"^intel/", "", method.lower()).replace("_", "-"))
    if maker is None:
        raise BadWeights(f"{folder} has weights of quant_method {method}, which is not read; {READ} are: {REMEDY}")
    try:
        return QuantizedWeights(method, maker(told, folder))
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        raise BadWeights(f"{folder / 'config.json'}: quantization_config of {method} cannot be understood ({why!r})") from None


def check_told(folder: Path, names: Iterable[str]) -> None:
    """Raises BadWeights where tensors are rounded and no configuration says how."""
    if marked := next((name for name in names if MARKS.search(name)), None):
        raise BadWeights(
            f"{folder} holds rounded weights ({marked}) but no quantization_config in its config.json and no "
            "quantize_config.json; copy those files from where the weights come from"
        )


def _told(folder: Path, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for place in (values, values.get("text_config") or {}):
        for key in ("quantization_config", "compression_config", "quantization"):
            if isinstance(place, Mapping) and isinstance(told := place.get(key), Mapping) and told:
                return told
    for name, method in (("quantize_config.json", "gptq"), ("quant_config.json", "awq")):
        if (folder / name).is_file():
            return {"quant_method": method, **read_json(folder / name)}
    modelopt = folder / "hf_quant_config.json"
    return {"quant_method": "modelopt", **(read_json(modelopt).get("quantization") or {})} if modelopt.is_file() else None


def _refused(folder: Path, what: str) -> BadWeights:
    return BadWeights(f"{folder} has weights of {what}, which is not read; {REMEDY}: {READ}")


def _gptq(told: Mapping[str, Any], folder: Path) -> tuple[Format, ...]:
    form = str(told.get("checkpoint_format") or told.get("format") or "gptq")
    if form not in ("gptq", "gptq_v2") or told.get("is_marlin_format"):
        raise _refused(folder, f"gptq in the form {form if form != 'gptq' else 'marlin'}")
    return (Gptq(int(told["bits"]), int(told.get("group_size", -1)), zeros_less_one=form == "gptq"),)


def _awq(told: Mapping[str, Any], folder: Path) -> tuple[Format, ...]:
    version, bits = str(told.get("version", "gemm")).lower(), int(told.get("bits", told.get("w_bit", 4)))
    if version != "gemm" or bits != 4:
        raise _refused(folder, f"awq in the version {version} of {bits} bits")
    return (Awq(),)


def _auto_round(told: Mapping[str, Any], folder: Path) -> tuple[Format, ...]:
    form = str(told.get("packing_format", "auto_round:auto_gptq"))
    if "awq" in form:
        return (Awq(),)
    if "gptq" not in form:
        raise _refused(folder, f"auto-round in the form {form}")
    return (Gptq(int(told["bits"]), int(told.get("group_size", -1)), zeros_less_one="v2" not in form),)


def _compressed_tensors(told: Mapping[str, Any], folder: Path) -> tuple[Format, ...]:
    groups = [group for group in (told.get("config_groups") or {}).values() if group.get("weights")]
    forms = {str(group.get("format") or told.get("format")) for group in groups}
    known = {
        "pack-quantized",
        "int-quantized",
        "float-quantized",
        "naive-quantized",
        "nvfp4-pack-quantized",
        "mxfp4-pack-quantized",
    }
    if unknown := sorted(forms - known):
        raise _refused(folder, f"compressed-tensors in the form {unknown[0]}")
    if (told.get("transform_config") or {}).get("config_groups"):
        raise _refused(folder, "compressed-tensors with transforms (transform_config)")
    if (sparse := (told.get("sparsity_config") or {}).get("format", "dense")) != "dense":
        raise _refused(folder, f"compressed-tensors in the sparse form {sparse}")
    bits = sorted({int(group["weights"].get("num_bits", 8)) for group in groups})
    packed: Format = PackedFloat4() if any("fp4" in form for form in forms) else PackedIntegers(bits[0] if bits else 8)
    if ("pack-quantized" in forms and len({*bits}) > 1) or (len(forms) > 1 and any("fp4" in form for form in forms)):
        raise _refused(folder, f"compressed-tensors of {' and '.join(map(str, bits))} bits at once")
    return packed, ScaledMatrices()


def _fp8(told: Mapping[str, Any], folder: Path) -> tuple[Format, ...]:
    size = told.get("weight_block_size")
    block = (int(size[0]), int(size[1])) if size else None
    return Float8(block=block), Float8(".weight_scale", block)


def _modelopt(told: Mapping[str, Any], folder: Path) -> tuple[Format, ...]:
    kind = str(told.get("quant_algo", "")).upper()
    if kind == "NVFP4":
        return (PackedFloat4(".weight_scale"),)
    if kind not in ("FP8", "FP8_PB_WO", "FP8_PER_CHANNEL_PER_TOKEN"):
        raise _refused(folder, f"modelopt with quant_algo {kind}")
    return (Float8(".weight_scale"),)


def _mlx(told: Mapping[str, Any], folder: Path) -> Format:
    if (mode := str(told.get("mode", "affine"))) != "affine":
        raise _refused(folder, f"MLX in the mode {mode}")
    others = {name: int(one["group_size"]) for name, one in told.items() if isinstance(one, Mapping) and "group_size" in one}
    return Mlx(int(told["group_size"]), others)


MAKERS = {
    "gptq": _gptq,
    "awq": _awq,
    "auto-round": _auto_round,
    "compressed-tensors": _compressed_tensors,
    "fp8": _fp8,
    "fbgemm-fp8": _fp8,
    "modelopt": _modelopt,
    "bitsandbytes": lambda told, folder: (Blocks4(), Int8Rows()),
    "mxfp4": lambda told, folder: (Mxfp4Experts(),),
}
