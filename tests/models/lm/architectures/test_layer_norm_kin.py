"""Decoders with LayerNorm: transformers' logits and tokens."""

from pathlib import Path
from typing import Any

import checkpoints
import pytest
from checkpoints import GROUPED, NONE, PLAIN, VOCABULARY, make, rope
from decoder_checks import check

from mmgen.errors import BadWeights
from mmgen.models.lm import families

GPTJ = {
    "vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "rotary_dim": 8, **NONE,
}  # fmt: skip
OPT = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 96,
    "max_position_embeddings": 128, "word_embed_proj_dim": 64, **NONE, "pad_token_id": 1,
}  # fmt: skip
FALCON = {key: value for key, value in PLAIN.items() if key != "intermediate_size"}
FOUR = {**GROUPED, "num_hidden_layers": 4}
STABLELM = {**GROUPED, **rope(partial_rotary_factor=0.25)}
MAKERS: dict[str, checkpoints.Maker] = {
    "starcoder2": make("Starcoder2ForCausalLM", "Starcoder2Config", GROUPED, sliding_window=8),
    "stablelm": make("StableLmForCausalLM", "StableLmConfig", STABLELM, use_qkv_bias=True),
    "stablelm-2": make("StableLmForCausalLM", "StableLmConfig", STABLELM, qk_layernorm=True, use_parallel_residual=True),
    "phi": make("PhiForCausalLM", "PhiConfig", PLAIN, **rope(partial_rotary_factor=0.5)),
    "cohere": make("CohereForCausalLM", "CohereConfig", GROUPED, logit_scale=0.5, attention_bias=True),
    "cohere-plus": make("CohereForCausalLM", "CohereConfig", GROUPED, logit_scale=0.5, use_qk_norm=True),
    "cohere2": make("Cohere2ForCausalLM", "Cohere2Config", FOUR, sliding_window=8, logit_scale=0.5),
    "gptj": make("GPTJForCausalLM", "GPTJConfig", GPTJ),
    "opt": make("OPTForCausalLM", "OPTConfig", OPT),
    "falcon-7b": make("FalconForCausalLM", "FalconConfig", FALCON),
    "falcon-40b": make("FalconForCausalLM", "FalconConfig", FALCON, new_decoder_architecture=True, num_kv_heads=2),
    "falcon-11b": make(
        "FalconForCausalLM", "FalconConfig", FALCON, new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1
    ),
    "falcon-rw": make("FalconForCausalLM", "FalconConfig", FALCON, multi_query=False, parallel_attn=False, bias=True),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_as_transformers(name: str, tmp_path: Path) -> None:
    check(MAKERS[name], tmp_path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("phi", {"qk_layernorm": True}, "a Phi with qk_layernorm"),
        ("opt", {"do_layer_norm_before": False}, "another do_layer_norm_before than ours"),
        ("opt", {"word_embed_proj_dim": 32}, "another word_embed_proj_dim than ours"),
        ("falcon-7b", {"alibi": True}, "a Falcon with alibi"),
    ],
)
def test_what_ours_has_not(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        families.FAMILIES[name.partition("-")[0]].shape({**MAKERS[name]().config.to_dict(), **values})
