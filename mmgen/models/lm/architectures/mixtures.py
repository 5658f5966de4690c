"""Mixtures of experts: Qwen 3, Granite and gpt-oss."""

from __future__ import annotations

from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.checkpoints.family import UNTIED, Family, Values
from mmgen.models.lm.architectures.llama_kin import granite
from mmgen.models.lm.architectures.olmo import in_turn
from mmgen.models.lm.architectures.tables import LAYER, decoder, experts
from mmgen.models.lm.family_llama import FIXED, KEYS, layer_types, llama, qwen3
from mmgen.models.transformer_config import TransformerConfig

IGNORED = r"rotary_emb\.inv_freq$"
ALL = (-1, -1)
"""Of a tensor that holds all experts: `spread` writes each one's number into its place."""


def _qwen3_moe(values: Values) -> dict[str, Any]:
    count, step = values.get("num_experts") or values["num_local_experts"], values.get("decoder_sparse_step", 1)
    plain = {*values.get("mlp_only_layers", ())}
    dense = tuple(n in plain or (n + 1) % step != 0 for n in range(values["num_hidden_layers"]))
    return {
        **qwen3(values),
        "experts": count,
        "experts_per_token": values.get("num_experts_per_tok", 8),
        "moe_intermediate_size": values["moe_intermediate_size"],
        "norm_topk_prob": bool(values.get("norm_topk_prob", False)),
        "dense_layers": dense if any(dense) else (),
    }


def _qwen3_moe_names(config: TransformerConfig) -> Names:
    return decoder(config, experts(f"{LAYER}mlp.experts.{{}}.", f"{LAYER}mlp.gate"))


def _granitemoe(values: Values) -> dict[str, Any]:
    mixed = {"experts": values["num_local_experts"], "experts_per_token": values["num_experts_per_tok"]}
    return {**granite(values), **mixed, "shared_intermediate_size": values.get("shared_intermediate_size", 0)}


def _granitemoe_names(config: TransformerConfig) -> Names:
    moe = f"{LAYER}block_sparse_moe."
    own: dict[str, str | tuple[str, ...] | TensorName] = {
        "blocks.{}.experts.router": f"{moe}router.layer",
        "blocks.{}.experts.each.{}.up": TensorName((f"{moe}input_linear",), index=ALL),
        "blocks.{}.experts.each.{}.down": TensorName((f"{moe}output_linear",), index=ALL),
    }
    if config.shared_intermediate_size:
        own["blocks.{}.experts.shared.up"] = f"{LAYER}shared_mlp.input_linear"
        own["blocks.{}.experts.shared.down"] = f"{LAYER}shared_mlp.output_linear"
    return decoder(config, own)


def _gpt_oss(values: Values) -> dict[str, Any]:
    if values.get("hidden_act", "silu") != "silu":
        raise BadWeights(f"config.json asks for the activation {values['hidden_act']}; gpt-oss has silu")
    return {
        **llama(values),
        **layer_types(in_turn(values, 2)),
        "experts": values["num_local_experts"],
        "experts_per_token": values["num_experts_per_tok"],
        "swiglu_limit": values.get("swiglu_limit", 7.0),
        "swiglu_alpha": values.get("swiglu_alpha", 1.702),
        "feed_forward_bias": True,
    }


def _gpt_oss_names(config: TransformerConfig) -> Names:
    """All experts lie in one tensor (experts, in, out), the rows of gate and up in turn; biases beside them."""
    names = dict(decoder(config, {"blocks.{}.experts.router": f"{LAYER}mlp.router"}))
    for layer in range(config.layers):
        ours, theirs = f"transformer.blocks.{layer}.", f"model.layers.{layer}."
        names[f"{ours}attention.sinks"] = TensorName((f"{theirs}self_attn.sinks",))
        for expert in range(config.experts):
            for part, name, alternate in (("up", "gate_up_proj", True), ("down", "down_proj", False)):
                key, at = f"{ours}experts.each.{expert}.{part}", (expert, config.experts)
                all_experts = f"{theirs}mlp.experts.{name}"
                names[f"{key}.weight"] = TensorName((all_experts,), transposed=True, index=at, alternate=alternate)
                names[f"{key}.bias"] = TensorName((f"{all_experts}_bias",), index=at, alternate=alternate)
    by_tensor = sorted(names, key=lambda key: names[key].names)  # so that each is read once
    return {key: names[key] for key in by_tensor}


def _family(name: str, table: Any, more: Any, defaults: Any = UNTIED, **fixed: Any) -> Family:
    return Family(
        f"{name}ForCausalLM", KEYS, {**FIXED, **fixed}, table, more, prefix="model.", ignored=IGNORED, defaults=defaults
    )


FAMILIES = {
    "qwen3_moe": _family("Qwen3Moe", _qwen3_moe_names, _qwen3_moe),
    "granitemoe": _family("GraniteMoe", _granitemoe_names, _granitemoe),
    "granitemoeshared": _family("GraniteMoeShared", _granitemoe_names, _granitemoe),
    "gpt_oss": _family(
        "GptOss", _gpt_oss_names, _gpt_oss, {**UNTIED, "rope_theta": 150_000.0, "head_dim": 64, "attention_bias": True},
        sinks=True, router_bias=True,
    ),
}  # fmt: skip
