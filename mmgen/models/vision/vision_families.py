"""Image encoders' checkpoints by the `model_type` of their config.json: their configurations as mmgen's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mmgen.errors import BadWeights, nearest
from mmgen.models.checkpoints.convert import Names
from mmgen.models.checkpoints.family import Values, activation
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.transformer_config import TransformerConfig
from mmgen.models.vision import vision_tensor_names
from mmgen.models.vision.clip import ClipConfig
from mmgen.models.vision.vit import VisionConfig

Shape = TypeVar("Shape")


@dataclass(frozen=True)
class DualEncoderFamily:
    """A checkpoint format with an image and a text tower."""

    shape: Callable[[Values], ClipConfig]
    names: Callable[[ClipConfig], Names]
    ignored: str = r"position_ids$"
    padded: bool = False  # texts are padded to the full context


@dataclass(frozen=True)
class TowerFamily:
    """A checkpoint format with an image tower alone, perhaps with a classification head."""

    shape: Callable[[Values], VisionConfig]
    names: Callable[[VisionConfig], Names]
    ignored: str
    prefix: str
    head_reads: int  # the head's inputs, 1: the class token, 2: also the patches' mean


COMMON = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224,
}  # fmt: skip
TEXT_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size", "max_tokens": "max_position_embeddings", "norm_eps": "layer_norm_eps",
}  # fmt: skip
TEXT_FIXED: dict[str, Any] = {"norm_at": "pre", "embedding_norm": False}
CLIP_VISION = {**COMMON, "patch_size": 32, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}
CLIP_TEXT = {
    "vocab_size": 49408, "hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "intermediate_size": 2048,
    "max_position_embeddings": 77, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu",
}  # fmt: skip
SIGLIP_VISION = {**COMMON, "patch_size": 16, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh"}
SIGLIP_TEXT = {
    **COMMON, "vocab_size": 32000, "max_position_embeddings": 64, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh",
}  # fmt: skip
VIT = {**COMMON, "patch_size": 16, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "qkv_bias": True}
DINOV2 = {**COMMON, "patch_size": 14, "layer_norm_eps": 1e-6, "hidden_act": "gelu", "qkv_bias": True, "mlp_ratio": 4}
"""Defaults of transformers for keys that a config.json leaves out, as OpenAI's and Google's do."""


def _known(defaults: Values, values: Any) -> dict[str, Any]:
    return {**defaults, **{key: value for key, value in dict(values or {}).items() if value is not None}}


def _vision(values: Values, **more: Any) -> VisionConfig:
    if values.get("num_channels", 3) != 3:
        raise BadWeights(f"config.json asks for images of {values['num_channels']} channels; supported are 3")
    return VisionConfig(
        **{
            "image_size": _side(values["image_size"]),
            "patch": _side(values["patch_size"]),
            "hidden_size": values["hidden_size"],
            "layers": values["num_hidden_layers"],
            "heads": values["num_attention_heads"],
            "intermediate_size": values["intermediate_size"],
            "norm_eps": values["layer_norm_eps"],
            **activation(values, "hidden_act"),
            **more,
        }
    )


def _side(value: Any) -> int:
    """The side of a square, from a number or a pair."""
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise BadWeights(f"config.json asks for {value} pixels; only squares are supported")
    return int(sides.pop())


def _text(values: Values, **more: Any) -> TransformerConfig:
    same = {ours: values[theirs] for ours, theirs in TEXT_KEYS.items()}
    return TransformerConfig(**{**TEXT_FIXED, **same, **activation(values, "hidden_act"), **more})


def _clip(values: Values) -> ClipConfig:
    vision = _vision(_known(CLIP_VISION, values.get("vision_config")), patch_bias=False, embedding_norm=True)
    text = _text(_known(CLIP_TEXT, values.get("text_config")), causal=True)
    return ClipConfig(vision, values.get("projection_dim", 512), text)


def _siglip(values: Values) -> ClipConfig:
    seen, read = _known(SIGLIP_VISION, values.get("vision_config")), _known(SIGLIP_TEXT, values.get("text_config"))
    if not seen.get("vision_use_head", True):
        raise BadWeights("config.json asks for a SigLIP without pooling head (vision_use_head), which is not supported")
    return ClipConfig(
        _vision(seen, pooling="attention", class_token=False),
        read.get("projection_size", read["hidden_size"]),
        _text(read),
        loss="sigmoid",
        image_projection=False,
        projection_bias=True,
    )


def _vit(values: Values) -> VisionConfig:
    values = _known(VIT, values)
    return _vision(values, qkv_bias=values["qkv_bias"])


def _dinov2(values: Values) -> VisionConfig:
    values = _known(DINOV2, values)
    hidden, gated = int(values["hidden_size"] * values["mlp_ratio"]), bool(values.get("use_swiglu_ffn"))
    if gated:
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
    more = {"intermediate_size": hidden, "gated": gated, "qkv_bias": values["qkv_bias"]}
    return _vision(values, **more, **({"activation": "silu"} if gated else {}))


OPEN_VISION = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "patch_dropout"}
OPEN_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
OPEN_MODEL = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}


def _open_clip(values: Values) -> ClipConfig:
    """The `model_cfg` of an open_clip_config.json; its defaults are those of open_clip's CLIPVisionCfg and CLIPTextCfg."""
    seen: Mapping[str, Any] = {"image_size": 224, "head_width": 64, "mlp_ratio": 4.0, **values["vision_cfg"]}
    read: Mapping[str, Any] = {"context_length": 77, "vocab_size": 49408, "mlp_ratio": 4.0, **values["text_cfg"]}
    unknown = {*(set(seen) - OPEN_VISION), *(set(read) - OPEN_TEXT), *(set(values) - OPEN_MODEL)}
    if unknown or not isinstance(seen["layers"], int):
        what = ", ".join(sorted(unknown)) or "a residual network"
        raise BadWeights(f"open_clip_config.json asks for {what}, which is not supported; take a plain ViT of open_clip")
    both: dict[str, Any] = {"norm_eps": 1e-5, "activation": "quick_gelu" if values.get("quick_gelu") else "gelu"}
    heads, hidden = seen["width"] // seen["head_width"], int(seen["width"] * seen["mlp_ratio"])
    vision = VisionConfig(
        _side(seen["image_size"]), _side(seen["patch_size"]), seen["width"], seen["layers"], heads, hidden,
        patch_bias=False, embedding_norm=True, **both,
    )  # fmt: skip
    text = TransformerConfig(
        read["vocab_size"], read["width"], read["layers"], read["heads"], int(read["width"] * read["mlp_ratio"]),
        read["context_length"], causal=True, **TEXT_FIXED, **both,
    )  # fmt: skip
    return ClipConfig(vision, values["embed_dim"], text)


TWO_TOWERS = {
    "clip": DualEncoderFamily(_clip, vision_tensor_names.clip),
    "siglip": DualEncoderFamily(_siglip, vision_tensor_names.siglip, padded=True),
    "open_clip": DualEncoderFamily(_open_clip, vision_tensor_names.open_clip, r"attn_mask$"),
}
TOWERS = {
    "vit": TowerFamily(_vit, vision_tensor_names.vit, r"^pooler\.|\.pooler\.|mask_token$", "vit.", 1),
    "dinov2": TowerFamily(_dinov2, vision_tensor_names.dinov2, r"mask_token$", "dinov2.", 2),
}


def two_towers(folder: Path) -> tuple[DualEncoderFamily, ClipConfig, str]:
    """A folder's format, its configuration, and the stem of its weights' file name.

    transformers' files take precedence over open_clip's. Raises BadWeights for a file that is missing, damaged or unknown.
    """
    own = folder / "open_clip_config.json"
    if own.is_file() and not (folder / "config.json").is_file():
        family = TWO_TOWERS["open_clip"]
        return family, _shape(family.shape, read_json(own).get("model_cfg", {}), own), "open_clip_model"
    path = folder / "config.json"
    values = read_json(path)
    name = _named(values, path, {name: one for name, one in TWO_TOWERS.items() if name != "open_clip"})
    return TWO_TOWERS[name], _shape(TWO_TOWERS[name].shape, values, path), "model"


def tower(folder: Path) -> tuple[TowerFamily, VisionConfig]:
    """Format and configuration of a folder with an image tower alone. Raises BadWeights as `two_towers` does."""
    path = folder / "config.json"
    values = read_json(path)
    family = TOWERS[_named(values, path, TOWERS)]
    return family, _shape(family.shape, values, path)


def _named(values: Values, path: Path, known: Mapping[str, Any]) -> str:
    name = str(values.get("model_type"))
    if name not in known:
        raise BadWeights(f"{path} has model_type {name}; supported are {', '.join(known)}{nearest(name, list(known))}")
    return name


def _shape(shape: Callable[[Values], Shape], values: Values, path: Path) -> Shape:
    try:
        return shape(values)
    except KeyError as missing:
        raise BadWeights(f"{path} lacks {missing}; copy or download it again") from None
