"""OLMo 2 and 3 and EXAONE 4: norms behind the sublayers, normalised queries and keys. And OLMo's mixture of experts."""

from __future__ import annotations

from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Names
from mmgen.models.checkpoints.family import UNTIED, Family, Values
from mmgen.models.lm.architectures.tables import LAYER, decoder, experts
from mmgen.models.lm.family_llama import FIXED, KEYS, layer_types, llama
from mmgen.models.transformer_config import TransformerConfig

AFTER: dict[str, Any] = {**FIXED, "norm_at": "after", "qk_norm": True}
WHOLE: dict[str, Any] = {**AFTER, "qk_norm_over": "all"}


def in_turn(values: Values, every: int) -> Values:
    """`layer_types`, where a file leaves them out: every so manieth layer sees everything."""
    count = values["num_hidden_layers"]
    kinds = ["full_attention" if (n + 1) % every == 0 else "sliding_attention" for n in range(count)]
    return {"layer_types": kinds, **values}


def _olmo2(values: Values) -> dict[str, Any]:
    if values.get("clip_qkv") is not None:
        raise BadWeights(f"config.json asks for clip_qkv {values['clip_qkv']}, which our attention has not")
    return llama(values)


def _olmo3(values: Values) -> dict[str, Any]:
    """Layers with a window keep the plain frequencies of the same base."""
    found = {**_olmo2(values), **layer_types(in_turn(values, 4))}
    return {"rope_theta_windowed": found["rope_theta"], **found}


def _exaone4(values: Values) -> dict[str, Any]:
    """Where some layers have a window, the others have no positions."""
    every = values.get("sliding_window_pattern", 4)
    if "sliding_window" not in values or not every:
        return llama(values)
    if isinstance(every, str):
        raise BadWeights(f"config.json writes sliding_window_pattern {every!r} without layer_types; add them")
    values = in_turn(values, every)
    nope = tuple(kind != "sliding_attention" for kind in values["layer_types"])
    return {**llama(values), **layer_types(values), "nope_layers": nope}


def _olmoe(values: Values) -> dict[str, Any]:
    return {
        **_olmo2(values),
        "experts": values.get("num_experts") or values.get("num_local_experts") or 64,
        "experts_per_token": values.get("num_experts_per_tok", 8),
        "norm_topk_prob": bool(values.get("norm_topk_prob", False)),
    }


def _olmoe_names(config: TransformerConfig) -> Names:
    return decoder(config, experts(f"{LAYER}mlp.experts.{{}}.", f"{LAYER}mlp.gate"))


def _family(name: str, fixed: Any, table: Any, more: Any, **defaults: Any) -> Family:
    return Family(
        f"{name}ForCausalLM", KEYS, fixed, table, more, prefix="model.", ignored=r"rotary_emb\.inv_freq$",
        defaults={**UNTIED, **defaults},
    )  # fmt: skip


FAMILIES = {
    "olmo2": _family("Olmo2", WHOLE, decoder, _olmo2, rope_theta=10_000.0, rms_norm_eps=1e-5),
    "olmo3": _family("Olmo3", WHOLE, decoder, _olmo3, rope_theta=500_000.0, rms_norm_eps=1e-5, sliding_window=4096),
    "exaone4": _family("Exaone4", AFTER, decoder, _exaone4, rms_norm_eps=1e-5),
    "olmoe": _family("Olmoe", {**FIXED, "qk_norm": True, "qk_norm_over": "all"}, _olmoe_names, _olmoe, rms_norm_eps=1e-5),
}
