"""Tiny random checkpoints of every family, made with transformers: two layers, width 64, 96 words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

VOCABULARY = 96
NONE = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
PLAIN = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "max_position_embeddings": 128, **NONE,
}  # fmt: skip
GROUPED = {**PLAIN, "num_key_value_heads": 2}
T5 = {
    "vocab_size": VOCABULARY, "d_model": 64, "d_kv": 24, "d_ff": 96, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4,
    "relative_attention_max_distance": 20, "eos_token_id": None, "decoder_start_token_id": 0,
}  # fmt: skip
MARIAN = {
    "vocab_size": VOCABULARY, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 8, "encoder_ffn_dim": 80, "decoder_ffn_dim": 96, "max_position_embeddings": 128,
    "pad_token_id": 95, "decoder_start_token_id": 95, "eos_token_id": None, "forced_eos_token_id": None,
    "scale_embedding": True, "activation_function": "relu",
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]}


def rope(**told: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 1000.0, **told}}


Maker = Callable[[], Any]


def make(architecture: str, configuration: str, *layers: dict[str, Any], **more: Any) -> Maker:
    values = {key: value for layer in layers for key, value in layer.items()} | more
    return lambda: getattr(transformers, architecture)(getattr(transformers, configuration)(**values))


def llama(**more: Any) -> Maker:
    return make("LlamaForCausalLM", "LlamaConfig", GROUPED, **more)


def phi3(**more: Any) -> Maker:
    return make("Phi3ForCausalLM", "Phi3Config", GROUPED, **more)


FAMILIES: dict[str, Maker] = {
    "llama": llama(**rope(original_max_position_embeddings=32, **LLAMA3)),
    "mistral": make("MistralForCausalLM", "MistralConfig", GROUPED, sliding_window=8),
    "qwen2": make(
        "Qwen2ForCausalLM", "Qwen2Config", GROUPED, use_sliding_window=True, sliding_window=8, max_window_layers=1
    ),
    "qwen3": make("Qwen3ForCausalLM", "Qwen3Config", GROUPED, head_dim=24, tie_word_embeddings=True),
    "gemma": make("GemmaForCausalLM", "GemmaConfig", {**GROUPED, "num_key_value_heads": 1}, head_dim=32),
    "gemma2": make(
        "Gemma2ForCausalLM", "Gemma2Config", GROUPED, head_dim=32, sliding_window=8, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0, query_pre_attn_scalar=20, attn_implementation="eager",
    ),
    "gemma3_text": make(
        "Gemma3ForCausalLM", "Gemma3TextConfig", GROUPED, head_dim=32, sliding_window=8, query_pre_attn_scalar=20,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "phi3": phi3(**rope(partial_rotary_factor=0.75)),
    "mixtral": make("MixtralForCausalLM", "MixtralConfig", GROUPED, num_local_experts=5, num_experts_per_tok=2),
    "gpt2": make("GPT2LMHeadModel", "GPT2Config", NONE, vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=128),
    "gpt_neox": make("GPTNeoXForCausalLM", "GPTNeoXConfig", PLAIN),
    "bloom": make("BloomForCausalLM", "BloomConfig", NONE, vocab_size=VOCABULARY, hidden_size=64, n_layer=2, n_head=4),
    "bert": make("BertForMaskedLM", "BertConfig", {**PLAIN, "pad_token_id": 0}),
    "t5": make("T5ForConditionalGeneration", "T5Config", T5),
    "marian": make("MarianMTModel", "MarianConfig", MARIAN),
}  # fmt: skip
ROPES: dict[str, Maker] = {
    "linear": llama(**rope(rope_type="linear", factor=3.0)),
    "dynamic": llama(**rope(rope_type="dynamic", factor=3.0), max_position_embeddings=24),
    "yarn": llama(**rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)),
}
VARIANTS: dict[str, Maker] = {
    "t5-1.1": make("T5ForConditionalGeneration", "T5Config", T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "llama-biased": llama(attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    "mixtral-window": make("MixtralForCausalLM", "MixtralConfig", GROUPED, num_local_experts=4, sliding_window=8),
    "neox-serial": make("GPTNeoXForCausalLM", "GPTNeoXConfig", PLAIN, use_parallel_residual=False),
    "bloom-6": make("BloomForCausalLM", "BloomConfig", NONE, vocab_size=VOCABULARY, hidden_size=48, n_layer=2, n_head=6),
    **ROPES,
}


def build(maker: Maker, seed: int = 0) -> Any:
    """A model that says something: weights large enough for logits that differ."""
    torch.manual_seed(seed)
    model = maker().eval()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.requires_grad or name == "final_logits_bias":
            tensor.data.add_(torch.randn(tensor.shape) * (0.2 if tensor.dim() > 1 else 0.1))
    return model


def saved(maker: Maker, folder: Path, **more: Any) -> Any:
    model = build(maker)
    model.save_pretrained(folder, **more)
    return model
