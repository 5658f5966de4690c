"""A tiny random model of every causal language model that transformers knows, its configuration's defaults made small."""

from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCABULARY = 96
SIZES: dict[str, int] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "n_embed", "embed_dim", "embedding_size"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "dff", "ffn_hidden_size", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "mlp_intermediate_size", "intermediate_size_mlp"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 24),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "depth"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "n_attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_global_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "hidden_size_per_layer_input"), 8),
    **dict.fromkeys(("global_head_dim", "q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len"), 256),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "sliding_window_size"), 6),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "num_experts_per_token", "moe_k", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group"), 1),
    **dict.fromkeys(("rotary_dim", "num_image_tokens"), 4),
    "laurel_rank": 8, "image_size": 28, "patch_size": 14, "projection_dim": 32,
}  # fmt: skip
"""What a configuration's fields are made where they are larger."""
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
SHARED = {
    "num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2,
}  # fmt: skip
ROPES = {key: {"rope_type": "default", "rope_theta": 10_000.0} for key in ("sliding_attention", "full_attention")}
SPARSE = {**SHARED, "activation_sparsity_pattern": [0.5, 0.0] * 2}
UNUSUAL: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {"layer_types": list(ROPES), "rope_parameters": ROPES},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10_000.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "gemma3n_text": SPARSE,
    "gemma4": {"text_config": SHARED},
    "gemma4_text": SHARED,
    "gemma4_unified": {"text_config": SHARED},
    "gemma4_unified_text": SHARED,
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "xmod": {"default_language": "en_XX"},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
}
"""What a type needs besides."""


def values(kind: Any) -> dict[str, Any]:
    """Of a configuration class: small sizes, two layers or one of each kind, no end of text."""
    base = kind()
    own: dict[str, Any] = vars(base)
    small = {key: size for key, size in SIZES.items() if type(now := own.get(key)) is int and now > size}
    if own.get("head_dim", 0) is None:
        small["head_dim"] = 8
    if own.get("num_key_value_heads", 0) is None:
        small["num_key_value_heads"] = 2
    if "kv_lora_rank" in small and "num_key_value_heads" in own:
        small["num_key_value_heads"] = 4  # multi-head latent attention shares none
    layers = next((key for key in LAYERS if key in small), None)
    kinds = list(dict.fromkeys(own.get("layer_types") or ()))
    if layers and len(kinds) > 1:
        small |= {"layer_types": kinds, layers: len(kinds)}
    for name in kind.sub_configs:
        if (part := getattr(base, name, None)) is not None:
            small[name] = {**values(type(part)), "model_type": part.model_type}
    decoder = {"is_decoder": True} if hasattr(base, "is_decoder") else {}
    return {**small, **decoder, "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}


def config(kind: str, **more: Any) -> Any:
    """Of a `model_type`; `more`: fields with other values."""
    made = CONFIG_MAPPING[kind]
    told = values(made)
    for key, value in UNUSUAL.get(kind, {}).items():
        told[key] = {**told.get(key, {}), **value} if isinstance(value, dict) else value
    return made(**{**told, **more})


def build(kind: str, **more: Any) -> Any:
    """A model that says something: weights large enough for logits that differ."""
    torch.manual_seed(0)
    told = config(kind, **more)
    found = MODEL_FOR_CAUSAL_LM_MAPPING[type(told)]
    architecture = found[0] if isinstance(found, tuple | list) else found
    if not isinstance(told, architecture.config_class):
        told = told.get_text_config(decoder=True)
    model = architecture(told).eval()
    for tensor in model.parameters():
        tensor.data.add_(torch.randn(tensor.shape) * (0.2 if tensor.dim() > 1 else 0.1))
    return model
