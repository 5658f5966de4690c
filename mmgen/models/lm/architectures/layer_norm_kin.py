"""Decoders with LayerNorm: StarCoder 2, StableLM, Phi, Cohere, GPT-J, OPT and Falcon."""

from __future__ import annotations

from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.checkpoints.family import TIED, UNTIED, Family, Values, activation
from mmgen.models.checkpoints.tensor_names import Entries, attention_names, head_names, qkv_sizes, spread
from mmgen.models.lm.architectures.olmo import in_turn
from mmgen.models.lm.architectures.tables import LAYER, decoder
from mmgen.models.lm.family_llama import KEYS, layer_types, llama
from mmgen.models.lm.rope_config import rope
from mmgen.models.transformer_config import TransformerConfig

EPS = {**KEYS, "norm_eps": "layer_norm_eps"}
FIXED: dict[str, Any] = {"positions": "rotary", "norm_at": "pre", "causal": True, "embedding_norm": False}
NO_BIAS: dict[str, Any] = {"qkv_bias": False, "out_bias": False, "feed_forward_bias": False}
SIDE_BY_SIDE: dict[str, Any] = {"parallel": True, "shared_norm": True}
IGNORED = r"rotary_emb\.inv_freq$"


def _starcoder2(values: Values) -> dict[str, Any]:
    biased = bool(values.get("use_bias", True))
    more = {**llama(values), "window": values.get("sliding_window")}
    return {**more, "qkv_bias": biased, "out_bias": biased, "feed_forward_bias": biased}


def _starcoder2_names(config: TransformerConfig) -> Names:
    return decoder(config, {"blocks.{}.up": f"{LAYER}mlp.c_fc", "blocks.{}.down": f"{LAYER}mlp.c_proj"})


def _stablelm(values: Values) -> dict[str, Any]:
    side_by_side = bool(values.get("use_parallel_residual"))
    return {
        **llama(values),
        "qkv_bias": bool(values.get("use_qkv_bias")),
        "qk_norm": bool(values.get("qk_layernorm")),
        "parallel": side_by_side,
        "shared_norm": side_by_side,
    }


def _stablelm_names(config: TransformerConfig) -> Names:
    own: Entries = {}
    for ours, theirs, count in (("query", "q", config.heads), ("key", "k", config.kv_heads)):
        each = tuple(f"{LAYER}self_attn.{theirs}_layernorm.norms.{number}" for number in range(count))
        own[f"blocks.{{}}.attention.{ours}_norm"] = TensorName(each)
    return decoder(config, own if config.qk_norm else {})


def _phi(values: Values) -> dict[str, Any]:
    if values.get("qk_layernorm"):
        raise BadWeights("config.json asks for a Phi with qk_layernorm, which ours has not")
    return {**rope(values), **activation(values, "hidden_act")}


def _phi_names(config: TransformerConfig) -> Names:
    own: Entries = {
        "norm": "model.final_layernorm",
        "blocks.{}.up": f"{LAYER}mlp.fc1",
        "blocks.{}.down": f"{LAYER}mlp.fc2",
    }
    return decoder(config, own, out="dense")


def _cohere(values: Values) -> dict[str, Any]:
    scale = values.get("logit_scale", 0.0625)
    return {**llama(values), "logits_scaling": 1 / scale, "qk_norm": bool(values.get("use_qk_norm"))}


def _cohere2(values: Values) -> dict[str, Any]:
    """Layers that see everything have no positions."""
    values = in_turn(values, values.get("sliding_window_pattern", 4))
    nope = tuple(kind != "sliding_attention" for kind in values["layer_types"])
    return {**_cohere(values), **layer_types(values), "nope_layers": nope, "qk_norm": False}


def _cohere_names(config: TransformerConfig) -> Names:
    own: Entries = {}
    for ours, theirs, count in (("query", "q", config.heads), ("key", "k", config.kv_heads)):
        own[f"blocks.{{}}.attention.{ours}_norm"] = TensorName((f"{LAYER}self_attn.{theirs}_norm",), folded=count)
    return decoder(config, own if config.qk_norm else {})


GPTJ_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "n_embd", "layers": "n_layer", "heads": "n_head", "max_tokens": "n_positions",
    "norm_eps": "layer_norm_epsilon", "tied": "tie_word_embeddings", "rotary_dim": "rotary_dim",
}  # fmt: skip


def _gptj(values: Values) -> dict[str, Any]:
    return {**activation(values, "activation_function"), "intermediate_size": values.get("n_inner") or 4 * values["n_embd"]}


def _gptj_names(config: TransformerConfig) -> Names:
    layer = "transformer.h.{}."
    table: Entries = {
        "embed.words": "transformer.wte",
        "norm": "transformer.ln_f",
        "blocks.{}.attention_norm": f"{layer}ln_1",
        **attention_names(config, f"{layer}attn.", ("q_proj", "k_proj", "v_proj", "out_proj")),
        "blocks.{}.up": f"{layer}mlp.fc_in",
        "blocks.{}.down": f"{layer}mlp.fc_out",
    }
    return spread(config, table) | head_names(config) | {"head.bias": TensorName(("lm_head.bias",))}


OPT_KEYS = {**EPS, "intermediate_size": "ffn_dim"}


def _opt(values: Values) -> dict[str, Any]:
    odd = [key for key, usual in (("do_layer_norm_before", True), ("enable_bias", True)) if values.get(key, usual) != usual]
    odd += ["_remove_final_layer_norm"] if values.get("_remove_final_layer_norm") else []
    if odd or values.get("word_embed_proj_dim", values["hidden_size"]) != values["hidden_size"]:
        raise BadWeights(f"config.json asks for an OPT with another {odd[0] if odd else 'word_embed_proj_dim'} than ours has")
    return activation(values, "activation_function")


def _opt_names(config: TransformerConfig) -> Names:
    """Its positions begin at row 2."""
    layer, most = "model.decoder.layers.{}.", config.max_tokens
    table: Entries = {
        "embed.words": "model.decoder.embed_tokens",
        "embed.positions": TensorName(("model.decoder.embed_positions",), rows=(2, most + 2, most + 2)),
        "norm": "model.decoder.final_layer_norm",
        "blocks.{}.attention_norm": f"{layer}self_attn_layer_norm",
        **attention_names(config, f"{layer}self_attn.", ("q_proj", "k_proj", "v_proj", "out_proj")),
        "blocks.{}.norm": f"{layer}final_layer_norm",
        "blocks.{}.up": f"{layer}fc1",
        "blocks.{}.down": f"{layer}fc2",
    }
    return spread(config, table) | head_names(config)


FALCON_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "max_tokens": "max_position_embeddings", "norm_eps": "layer_norm_epsilon", "tied": "tie_word_embeddings",
}  # fmt: skip


def _falcon(values: Values) -> dict[str, Any]:
    if values.get("alibi"):
        raise BadWeights("config.json asks for a Falcon with alibi, which ours has not")
    new, side_by_side = bool(values.get("new_decoder_architecture")), bool(values.get("parallel_attn", True))
    heads = values["num_attention_heads"]
    few = values.get("num_kv_heads") or heads if new else 1 if values.get("multi_query", True) else heads
    biased = bool(values.get("bias"))
    return {
        **rope(values),
        **activation(values, "activation"),
        "intermediate_size": values.get("ffn_hidden_size") or 4 * values["hidden_size"],
        "num_kv_heads": few,
        "parallel": new or side_by_side,
        "shared_norm": (side_by_side and not new) or (new and values.get("num_ln_in_parallel_attn", 2) == 1),
        "qkv_bias": biased,
        "out_bias": biased,
        "feed_forward_bias": biased,
    }


def _falcon_names(config: TransformerConfig) -> Names:
    """A group's queries lie before its key and its value."""
    layer, size = "transformer.h.{}.", config.head_size
    rows = (qkv_sizes(config)[0] // config.kv_heads, size, size)
    two = config.parallel and not config.shared_norm
    table: Entries = {
        "embed.words": "transformer.word_embeddings",
        "norm": "transformer.ln_f",
        "blocks.{}.attention_norm": f"{layer}{'ln_attn' if two else 'input_layernorm'}",
        "blocks.{}.attention.qkv": TensorName(
            (f"{layer}self_attention.query_key_value",), groups=config.kv_heads, group_rows=rows
        ),
        "blocks.{}.attention.out": f"{layer}self_attention.dense",
        "blocks.{}.norm": f"{layer}{'ln_mlp' if two else 'post_attention_layernorm'}",
        "blocks.{}.up": f"{layer}mlp.dense_h_to_4h",
        "blocks.{}.down": f"{layer}mlp.dense_4h_to_h",
    }
    if config.shared_norm:
        del table["blocks.{}.norm"]
    return spread(config, table) | head_names(config)


COHERE: dict[str, Any] = {
    **FIXED, **NO_BIAS, **SIDE_BY_SIDE, "gated": True, "norm_bias": False, "rope_interleaved": True, "qk_norm_over": "heads",
}  # fmt: skip
FAMILIES = {
    "starcoder2": Family(
        "Starcoder2ForCausalLM", {**KEYS, "norm_eps": "norm_epsilon"}, FIXED, _starcoder2_names, _starcoder2,
        prefix="model.", ignored=IGNORED, defaults={**TIED, "norm_epsilon": 1e-5, "hidden_act": "gelu_pytorch_tanh"},
    ),
    "stablelm": Family(
        "StableLmForCausalLM", EPS, {**FIXED, **NO_BIAS, "gated": True, "qk_norm_over": "heads"}, _stablelm_names, _stablelm,
        prefix="model.", ignored=IGNORED, defaults={**UNTIED, "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.25},
    ),
    "phi": Family(
        "PhiForCausalLM", EPS, {**FIXED, **SIDE_BY_SIDE, "head_bias": True}, _phi_names, _phi,
        prefix="model.", ignored=IGNORED, defaults={**UNTIED, "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5},
    ),
    "cohere": Family(
        "CohereForCausalLM", EPS, COHERE, _cohere_names, _cohere,
        prefix="model.", ignored=IGNORED, defaults={**TIED, "layer_norm_eps": 1e-5, "rope_theta": 500_000.0},
    ),
    "cohere2": Family(
        "Cohere2ForCausalLM", EPS, COHERE, _cohere_names, _cohere2,
        prefix="model.", ignored=IGNORED, defaults={**TIED, "layer_norm_eps": 1e-5, "sliding_window": 4096},
    ),
    "gptj": Family(
        "GPTJForCausalLM", GPTJ_KEYS,
        {**FIXED, **SIDE_BY_SIDE, "qkv_bias": False, "out_bias": False, "head_bias": True, "rope_interleaved": True},
        _gptj_names, _gptj, prefix="transformer.", ignored=r"\.attn\.(masked_)?bias$",
        defaults={**UNTIED, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "rotary_dim": 64},
    ),
    "opt": Family(
        "OPTForCausalLM", OPT_KEYS, {**FIXED, "positions": "learned", "norm_eps": 1e-5}, _opt_names, _opt,
        prefix="model.", defaults={**TIED, "activation_function": "relu"},
    ),
    "falcon": Family(
        "FalconForCausalLM", FALCON_KEYS, FIXED, _falcon_names, _falcon, prefix="transformer.",
        ignored=IGNORED, defaults={**TIED, "layer_norm_epsilon": 1e-5, "max_position_embeddings": 2048},
    ),
}  # fmt: skip
