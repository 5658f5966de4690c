"""Qwen 3.5: three layers that keep a state, then one with gated attention."""

from __future__ import annotations

from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.checkpoints.family import UNTIED, Family, Values
from mmgen.models.lm.architectures.tables import LAYER, decoder
from mmgen.models.lm.family_llama import FIXED, KEYS, llama
from mmgen.models.transformer_config import GatedDelta, TransformerConfig

DEFAULTS = {
    **UNTIED, "head_dim": 256, "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "max_position_embeddings": 32_768,
}  # fmt: skip
"""What transformers takes for keys that are left out."""


def _qwen3_5(values: Values) -> dict[str, Any]:
    if values["hidden_act"] != "silu" or values.get("attention_bias"):
        raise BadWeights(f"config.json asks for {values['hidden_act']} or biases in attention; Qwen 3.5 has silu and none")
    every = values["full_attention_interval"]
    kinds = values.get("layer_types") or [
        "linear_attention" if (n + 1) % every else "full_attention" for n in range(values["num_hidden_layers"])
    ]
    delta = GatedDelta(
        tuple(kind == "linear_attention" for kind in kinds),
        values["linear_num_key_heads"], values["linear_num_value_heads"], values["linear_key_head_dim"],
        values["linear_value_head_dim"], values["linear_conv_kernel_dim"],
    )  # fmt: skip
    return {**llama(values), "delta": delta}


def _names(config: TransformerConfig) -> Names:
    delta, start = config.delta, f"{LAYER}linear_attn."
    assert delta is not None
    sizes = (delta.convolved, delta.value_heads * delta.value_dim, delta.value_heads, delta.value_heads)
    inputs = tuple(f"{start}in_proj_{part}" for part in ("qkv", "z", "b", "a"))
    own: dict[str, str | tuple[str, ...] | TensorName] = {
        "blocks.{}.delta.inputs": TensorName(inputs, sizes),
        "blocks.{}.delta.conv": f"{start}conv1d",
        "blocks.{}.delta.norm": f"{start}norm",
        "blocks.{}.delta.out": f"{start}out_proj",
    }
    names = dict(decoder(config, own))
    for layer in filter(config.recurs, range(config.layers)):
        for ours, theirs in (("log_decay", "A_log"), ("decay_bias", "dt_bias")):
            names[f"transformer.blocks.{layer}.delta.{ours}"] = TensorName((start.format(layer) + theirs,))
    return names


FAMILIES = {
    "qwen3_5_text": Family(
        "Qwen3_5ForCausalLM", KEYS, {**FIXED, "qk_norm": True, "norm_plus_one": True, "attention_gate": True}, _names, _qwen3_5,
        prefix="model.", ignored=r"rotary_emb\.inv_freq$|^mtp\.", defaults=DEFAULTS,
    ),
}  # fmt: skip
