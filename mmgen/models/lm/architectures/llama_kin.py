"""Llama with a difference: layers without positions, multipliers, another activation, interleaved rotary pairs, late norms."""

from __future__ import annotations

from typing import Any

from mmgen.models.checkpoints.convert import Names
from mmgen.models.checkpoints.family import TIED, UNTIED, Family, Values
from mmgen.models.lm.architectures.tables import LAYER, decoder
from mmgen.models.lm.family_llama import FIXED, KEYS, layer_types, llama, windowed
from mmgen.models.transformer_config import TransformerConfig

IGNORED = r"rotary_emb\.inv_freq$"


def _smollm3(values: Values) -> dict[str, Any]:
    every = values.get("no_rope_layer_interval", 4)
    rotates = values.get("no_rope_layers") or [(n + 1) % every for n in range(values["num_hidden_layers"])]
    if values.get("use_sliding_window") and "layer_types" not in values:
        values = {**values, "layer_types": ["full_attention" if one else "sliding_attention" for one in rotates]}
    windows = layer_types(values) if values.get("use_sliding_window") else {}
    return {**llama(values), **windows, "nope_layers": tuple(not one for one in rotates)}


def _seed_oss(values: Values) -> dict[str, Any]:
    return {**llama(values), "out_bias": bool(values.get("attention_out_bias"))}


def granite(values: Values) -> dict[str, Any]:
    """Multipliers that keep a model's activations of one size whatever its width; Yang et al. 2022."""
    return {
        **llama(values),
        "embedding_multiplier": values.get("embedding_multiplier"),
        "residual_multiplier": values.get("residual_multiplier", 1.0),
        "logits_scaling": values.get("logits_scaling", 1.0),
        "scale": values.get("attention_multiplier", 1.0),
    }


def _ernie(values: Values) -> dict[str, Any]:
    biased = bool(values.get("use_bias"))
    return {**llama(values), "qkv_bias": biased, "out_bias": biased, "feed_forward_bias": biased}


def _hunyuan(values: Values) -> dict[str, Any]:
    """Its rope is called dynamic, but a fixed `alpha` stretches theta once and for all."""
    told = dict(values.get("rope_parameters") or values.get("rope_scaling") or {})
    kind = told.get("rope_type") or told.get("type")
    if kind != "dynamic" or not told.get("alpha"):
        return llama(values)
    size = values.get("head_dim", values["hidden_size"] // values["num_attention_heads"])
    theta = told.get("rope_theta") or values.get("rope_theta", 10_000.0)
    plain = {"rope_type": "default", "rope_theta": theta * told["alpha"] ** (size / (size - 2))}
    return llama({**values, "rope_parameters": plain, "rope_scaling": None})


def _hunyuan_names(config: TransformerConfig) -> Names:
    norms = {f"blocks.{{}}.attention.{ours}_norm": f"{LAYER}self_attn.{ours}_layernorm" for ours in ("query", "key")}
    return decoder(config, {**norms})


def _family(name: str, more: Any, table: Any = decoder, defaults: Any = UNTIED, **fixed: Any) -> Family:
    return Family(
        f"{name}ForCausalLM", KEYS, {**FIXED, **fixed}, table, more, prefix="model.", ignored=IGNORED, defaults=defaults
    )


FAMILIES = {
    "smollm3": _family("SmolLM3", _smollm3, defaults={**TIED, "rope_theta": 2e6, "num_key_value_heads": 4}),
    "arcee": _family("Arcee", llama, defaults={**UNTIED, "hidden_act": "relu2"}, gated=False),
    "seed_oss": _family("SeedOss", _seed_oss, defaults={**UNTIED, "attention_bias": True}),
    "granite": _family("Granite", granite),
    "ministral3": _family("Ministral3", windowed, defaults={**UNTIED, "rms_norm_eps": 1e-5}),
    "ernie4_5": _family(
        "Ernie4_5", _ernie, defaults={**TIED, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5, "head_dim": 128},
        rope_interleaved=True,
    ),
    "hunyuan_v1_dense": _family("HunYuanDenseV1", _hunyuan, _hunyuan_names, qk_norm=True, qk_norm_late=True),
}  # fmt: skip
