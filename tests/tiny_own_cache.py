"""Tiny random models of transformers that keep a cache of their own, one of each type that the library has."""

import inspect
from typing import Any

VOCABULARY = 96
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "d_model": 32, "n_embd": 32, "num_hidden_layers": 2, "n_layer": 2,
    "num_layers": 2, "num_attention_heads": 4, "n_head": 4, "num_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48,
    "d_ff": 48, "ffn_dim": 48, "d_kv": 8, "head_dim": 8, "encoder_layers": 2, "decoder_layers": 2, "num_decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "max_position_embeddings": 128, "n_positions": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 2, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_expand": 2, "mamba_d_state": 8,
    "mamba_n_groups": 1, "mamba_dt_rank": 4, "state_size": 8, "time_step_rank": 4, "expand": 2,
}  # fmt: skip
DELTA = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip
GEMMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "sliding_window": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 2,
    "pad_token_id": 0,
}
BERT = {
    "model_type": "bert",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
WINDOWS = ["sliding_attention", "full_attention"]
EYE = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
MLA = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "qk_nope_head_dim": 8,
    "num_experts_per_tok": 2,
}
SPARSE = {**MLA, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "index_topk": 8, "index_head_dim": 16}
SEAMLESS = {"t2u_encoder_layers": 1, "t2u_decoder_layers": 1, "speech_encoder_layers": 1}
SWITCH = {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1, "decoder_start_token_id": 0}
OWN: dict[str, dict[str, Any]] = {
    "fsmt": {"langs": ["en", "de"], "src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY},
    "led": {"attention_window": [8, 8], "max_encoder_position_embeddings": 128, "max_decoder_position_embeddings": 96},
    **{name: {"decoder_start_token_id": 0} for name in ("t5", "mt5", "umt5", "longt5")},
    "switch_transformers": SWITCH,
    "nllb-moe": {"encoder_sparse_step": 2, "decoder_sparse_step": 2},
    "encoder-decoder": {
        "encoder": BERT, "decoder": {**BERT, "is_decoder": True, "add_cross_attention": True},
    },
    "t5gemma": dict.fromkeys(("encoder", "decoder"), GEMMA),
    "t5gemma2": {
        "encoder": {"text_config": {**GEMMA, "layer_types": WINDOWS}, "vision_config": EYE},
        "decoder": {**GEMMA, "layer_types": WINDOWS},
        "eoi_token_index": 4, "image_token_index": 5,
    },
    "plbart": {"decoder_start_token_id": 2},
    "prophetnet": {"num_encoder_layers": 2, "num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4},
    "seamless_m4t": SEAMLESS,
    "seamless_m4t_v2": SEAMLESS,
    "falcon_h1": {"mamba_d_ssm": 64},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "shared_intermediate_size": 32},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "nemotron_h": {
        "layers_block_type": ["mamba", "attention", "moe", "mlp"], "num_hidden_layers": 4, "mamba_num_heads": 8,
        "mamba_head_dim": 8, "n_groups": 1, "ssm_state_size": 8, "chunk_size": 8, "moe_shared_expert_intermediate_size": 16,
    },
    "qwen3_5_text": DELTA,
    **{name: {**DELTA, "shared_expert_intermediate_size": 16} for name in ("qwen3_5_moe_text", "qwen3_next")},
    "olmo_hybrid": DELTA,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "lru_width": 32, "attention_window_size": 8},
    "minimax": {"layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "zamba": {
        "layer_types": ["mamba", "hybrid"] * 2, "num_hidden_layers": 4, "n_mamba_heads": 2, "attention_head_dim": 16,
        "attention_hidden_size": 64,
    },
    "codegen": {"n_head": 4, "n_embd": 64, "rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "mpt": {"n_layers": 2},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4},
    "cpmant": {"dim_head": 8, "dim_ff": 48},
    "kimi_linear": {**MLA, "layer_types": DELTA["layer_types"], "linear_head_dim": 8, "linear_num_heads": 4},
    "lfm3": {"layer_types": ["conv", "full_attention"]},
    "bailing_hybrid": {**MLA, "layer_types": DELTA["layer_types"], "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    **dict.fromkeys(("axk2", "deepseek_v32", "dots3_note_text", "glm_moe_dsa", "hy_v4"), SPARSE),
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip


def config(name: str, **more: Any) -> Any:
    from transformers import CONFIG_MAPPING

    cls = CONFIG_MAPPING[name]
    known = set(inspect.signature(cls.__init__).parameters) | set(getattr(cls, "__dataclass_fields__", {}))
    values = {key: value for key, value in SMALL.items() if key in known} | OWN.get(name, {}) | more
    return cls(**{key: value for key, value in values.items() if value is not None})


def causal(name: str, **more: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return _made(AutoModelForCausalLM, config(name, **more))


def seq2seq(name: str, **more: Any) -> Any:
    from transformers import AutoModelForSeq2SeqLM

    return _made(AutoModelForSeq2SeqLM, config(name, **more))


def _made(auto: Any, shape: Any) -> Any:
    """Weights so large that a token depends on all before it; texts end at no token and by no rule."""
    import torch
    from transformers import GenerationConfig

    torch.manual_seed(0)
    model = auto.from_config(shape).eval()
    for weight in model.parameters():
        if weight.dim() > 1 and weight.std() < 0.5:
            torch.nn.init.normal_(weight, std=0.5)
    start = getattr(shape, "decoder_start_token_id", None)
    start = 2 if start is None and shape.is_encoder_decoder else start
    model.generation_config = GenerationConfig(pad_token_id=0, decoder_start_token_id=start)
    return model
