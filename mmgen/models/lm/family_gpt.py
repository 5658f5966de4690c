"""GPT-2, GPT-NeoX (Pythia) and BLOOM."""

from __future__ import annotations

from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import tensor_names
from mmgen.models.checkpoints.family import BACK, TIED, UNTIED, Family, Values, activation
from mmgen.models.lm.rope_config import rope, rope_values
from mmgen.models.transformer_config import TransformerConfig

FIXED: dict[str, Any] = {"norm_at": "pre", "causal": True, "embedding_norm": False}
GPT2_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "n_embd", "layers": "n_layer", "heads": "n_head", "max_tokens": "n_positions",
    "norm_eps": "layer_norm_epsilon", "tied": "tie_word_embeddings",
}  # fmt: skip
NEOX_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size", "max_tokens": "max_position_embeddings", "norm_eps": "layer_norm_eps",
    "tied": "tie_word_embeddings",
}  # fmt: skip
BLOOM_KEYS = {"vocab_size": "vocab_size", "layers": "n_layer", "norm_eps": "layer_norm_epsilon", "tied": "tie_word_embeddings"}


def _gpt2(values: Values) -> dict[str, Any]:
    if values.get("scale_attn_by_inverse_layer_idx") or values.get("add_cross_attention"):
        raise BadWeights("config.json asks for a GPT-2 with layer-scaled or cross-attention, which ours has not")
    return {**activation(values, "activation_function"), "intermediate_size": values.get("n_inner") or 4 * values["n_embd"]}


def _gpt2_back(shape: TransformerConfig) -> dict[str, Any]:
    return {"activation_function": BACK[shape.activation], "n_inner": shape.intermediate_size}


def _neox(values: Values) -> dict[str, Any]:
    biased = values.get("attention_bias", True)
    return {
        **rope(values),
        **activation(values, "hidden_act"),
        "parallel": values.get("use_parallel_residual", True),
        "qkv_bias": biased,
        "out_bias": biased,
    }


def _neox_back(shape: TransformerConfig) -> dict[str, Any]:
    return {
        **rope_values(shape),
        "hidden_act": BACK[shape.activation],
        "use_parallel_residual": shape.parallel,
        "attention_bias": shape.qkv_bias,
    }


def _bloom(values: Values) -> dict[str, Any]:
    if values.get("apply_residual_connection_post_layernorm"):
        raise BadWeights("config.json asks for residuals behind the norm, which ours has not")
    width = values.get("hidden_size") or values["n_embed"]
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "heads": values.get("n_head") or values["num_attention_heads"],
        "max_tokens": values.get("seq_length", 2048),
    }


def _bloom_back(shape: TransformerConfig) -> dict[str, Any]:
    return {"hidden_size": shape.hidden_size, "n_head": shape.heads, "seq_length": shape.max_tokens}


FAMILIES = {
    "gpt2": Family(
        "GPT2LMHeadModel", GPT2_KEYS, FIXED, tensor_names.gpt2, _gpt2, _gpt2_back,
        prefix="transformer.", ignored=r"\.attn\.(masked_)?bias$", defaults=TIED,
    ),
    "gpt_neox": Family(
        "GPTNeoXForCausalLM", NEOX_KEYS, {**FIXED, "positions": "rotary"}, tensor_names.neox, _neox, _neox_back,
        prefix="gpt_neox.", ignored=r"rotary_emb\.inv_freq$|attention\.(masked_)?bias$", defaults=UNTIED,
    ),
    "bloom": Family(
        "BloomForCausalLM", BLOOM_KEYS, {**FIXED, "positions": "alibi", "embedding_norm": True, "activation": "gelu_tanh"},
        tensor_names.bloom, _bloom, _bloom_back, prefix="transformer.", defaults=TIED,
    ),
}  # fmt: skip
