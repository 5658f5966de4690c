"""Llama's family: Mistral, Qwen, Gemma, Phi and Mixtral write their config.json in its words."""

from __future__ import annotations

from typing import Any

from mmgen.models.checkpoints import tensor_names
from mmgen.models.checkpoints.family import BACK, TIED, UNTIED, Family, Values, activation
from mmgen.models.lm.rope_config import rope, rope_values
from mmgen.models.transformer_config import TransformerConfig

KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size", "max_tokens": "max_position_embeddings", "num_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps", "tied": "tie_word_embeddings",
}  # fmt: skip
FIXED: dict[str, Any] = {
    "positions": "rotary", "norm": "rms", "norm_at": "pre", "causal": True, "gated": True, "embedding_norm": False,
    "qkv_bias": False, "out_bias": False, "feed_forward_bias": False,
}  # fmt: skip
GEMMA = {**FIXED, "norm_plus_one": True, "embedding_scaled": True}


def llama(values: Values) -> dict[str, Any]:
    biased = bool(values.get("attention_bias"))
    return {
        **rope(values),
        **activation(values, "hidden_act"),
        "head_dim": values.get("head_dim", values["hidden_size"] // values["num_attention_heads"]),
        "qkv_bias": biased,
        "out_bias": biased,
        "feed_forward_bias": bool(values.get("mlp_bias")),
    }


def llama_back(shape: TransformerConfig) -> dict[str, Any]:
    return {
        "hidden_act": BACK[shape.activation],
        "head_dim": shape.head_size,
        "num_key_value_heads": shape.kv_heads,
        "attention_bias": shape.out_bias,
        "mlp_bias": shape.feed_forward_bias,
        **rope_values(shape),
    }


def windowed(values: Values) -> dict[str, Any]:
    return {**llama(values), "window": values.get("sliding_window")}


def windowed_back(shape: TransformerConfig) -> dict[str, Any]:
    return {**llama_back(shape), "sliding_window": shape.window}


def layer_types(values: Values) -> dict[str, Any]:
    """Which layers have the window, as newer files write it down for each."""
    window = values.get("sliding_window")
    types = [kind == "sliding_attention" for kind in values.get("layer_types", ())]
    if window is None or not any(types):
        return {}
    return {"window": window, "windowed": tuple(types)}


def layer_types_back(shape: TransformerConfig) -> dict[str, Any]:
    kinds = ["full_attention" if shape.window_of(layer) is None else "sliding_attention" for layer in range(shape.layers)]
    return {"sliding_window": shape.window, "layer_types": kinds}


def qwen(values: Values) -> dict[str, Any]:
    if values.get("use_sliding_window") and "layer_types" not in values:
        first = values.get("max_window_layers", 28)
        kinds = ["sliding_attention" if n >= first else "full_attention" for n in range(values["num_hidden_layers"])]
        values = {**values, "layer_types": kinds}
    windows = layer_types(values) if values.get("use_sliding_window") else {}
    return {**llama(values), **windows}


def qwen2(values: Values) -> dict[str, Any]:
    return {**qwen(values), "qkv_bias": True, "out_bias": False}


def qwen3(values: Values) -> dict[str, Any]:
    return {**qwen(values), "qk_norm": True}


def qwen_back(shape: TransformerConfig) -> dict[str, Any]:
    return {**llama_back(shape), **layer_types_back(shape), "use_sliding_window": shape.window is not None}


def _gemma(values: Values) -> dict[str, Any]:
    return {**llama(values), **activation(values, "hidden_activation", "hidden_act")}


def _gemma_back(shape: TransformerConfig) -> dict[str, Any]:
    return {**llama_back(shape), "hidden_activation": BACK[shape.activation]}


def _gemma2(values: Values) -> dict[str, Any]:
    every = values.get("sliding_window_pattern") or values.get("_sliding_window_pattern") or 2
    kinds = ["full_attention" if (n + 1) % every == 0 else "sliding_attention" for n in range(values["num_hidden_layers"])]
    return {
        **_gemma(values),
        **layer_types({"layer_types": kinds, **values}),
        "norm_at": "both",
        "scale": values["query_pre_attn_scalar"] ** -0.5,
        "softcap": values.get("attn_logit_softcapping"),
        "head_softcap": values.get("final_logit_softcapping"),
    }


def gemma2_back(shape: TransformerConfig) -> dict[str, Any]:
    return {
        **_gemma_back(shape),
        **layer_types_back(shape),
        "query_pre_attn_scalar": round((shape.scale or shape.head_size**-0.5) ** -2),
        "attn_logit_softcapping": shape.softcap,
        "final_logit_softcapping": shape.head_softcap,
    }


def gemma3(values: Values) -> dict[str, Any]:
    values = {"sliding_window_pattern": values.get("_sliding_window_pattern", 6), **values}
    return {**_gemma2(values), "qk_norm": True}


def _mixtral(values: Values) -> dict[str, Any]:
    return {**windowed(values), "experts": values["num_local_experts"], "experts_per_token": values["num_experts_per_tok"]}


def _mixtral_back(shape: TransformerConfig) -> dict[str, Any]:
    return {**windowed_back(shape), "num_local_experts": shape.experts, "num_experts_per_tok": shape.experts_per_token}


def _phi3_back(shape: TransformerConfig) -> dict[str, Any]:
    original = shape.rope_scaling.original if shape.rope_scaling else shape.max_tokens
    return {**windowed_back(shape), "original_max_position_embeddings": original, "pad_token_id": None}


def _family(name: str, more: Any = llama, back: Any = llama_back, **other: Any) -> Family:
    settings = {"fixed": FIXED, "table": tensor_names.llama, "defaults": UNTIED, **other}
    ignored = r"rotary_emb\.inv_freq$"
    return Family(f"{name}ForCausalLM", KEYS, more=more, back=back, prefix="model.", ignored=ignored, **settings)


FAMILIES = {
    "llama": _family("Llama"),
    "mistral": _family("Mistral", windowed, windowed_back),
    "qwen2": _family("Qwen2", qwen2, qwen_back),
    "qwen3": _family("Qwen3", qwen3, qwen_back),
    "gemma": _family("Gemma", _gemma, _gemma_back, fixed=GEMMA, defaults=TIED),
    "gemma2": _family("Gemma2", _gemma2, gemma2_back, fixed=GEMMA, defaults=TIED),
    "gemma3_text": _family("Gemma3", gemma3, gemma2_back, fixed=GEMMA, defaults=TIED),
    "mixtral": _family("Mixtral", _mixtral, _mixtral_back),
    "phi3": _family("Phi3", windowed, _phi3_back, table=tensor_names.phi3),
}
