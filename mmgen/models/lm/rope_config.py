"""Rotary positions as config.json writes them, in the spelling of transformers 5 (`rope_parameters`) and before, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.transformer_config import RopeScaling, TransformerConfig

KINDS = {"linear": "linear", "dynamic": "dynamic", "llama3": "llama3", "yarn": "yarn", "longrope": "longrope", "su": "longrope"}


def rope(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a TransformerConfig. Raises BadWeights for a kind of scaling that we do not have."""
    told = values.get("rope_parameters") or values.get("rope_scaling") or {}
    fields: dict[str, Any] = {}
    if "full_attention" in told:  # one for each kind of layer
        windowed = told["sliding_attention"]
        if windowed.get("rope_type", "default") != "default":
            raise BadWeights(
                f"config.json asks for rope scaling {windowed['rope_type']!r} of layers with a window; ours have none"
            )
        fields["rope_theta_windowed"] = windowed["rope_theta"]
        told = told["full_attention"]
    elif "rope_local_base_freq" in values:
        fields["rope_theta_windowed"] = values["rope_local_base_freq"]
    fields["rope_theta"] = told.get("rope_theta") or values.get("rope_theta") or values.get("rotary_emb_base") or 10_000.0
    part = told.get("partial_rotary_factor") or values.get("partial_rotary_factor") or values.get("rotary_pct") or 1.0
    if part != 1:
        head = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
        fields["rotary_dim"] = int(head * part)
    kind = told.get("rope_type") or told.get("type") or "default"
    if kind != "default":
        fields["rope_scaling"] = _scaling(kind, told, values)
    return fields


def _scaling(kind: str, told: Mapping[str, Any], values: Mapping[str, Any]) -> RopeScaling:
    if kind not in KINDS:
        raise BadWeights(f"config.json asks for rope scaling {kind!r}; there are {', '.join(KINDS)}")
    most = values["max_position_embeddings"]
    original = values.get("original_max_position_embeddings") or told.get("original_max_position_embeddings") or most
    return RopeScaling(
        KINDS[kind],  # type: ignore[arg-type]
        factor=told.get("factor") or most / original,
        original=most if kind == "dynamic" else original,
        low=told.get("low_freq_factor", 1.0),
        high=told.get("high_freq_factor", 4.0),
        fast=told.get("beta_fast") or 32.0,
        slow=told.get("beta_slow") or 1.0,
        attention=_attention(told),
        short_factors=tuple(told.get("short_factor", ())),
        long_factors=tuple(told.get("long_factor", ())),
        truncate=told.get("truncate", True),
        attention_beta=told.get("llama_4_scaling_beta") or 0.0,
    )


def _attention(told: Mapping[str, Any]) -> float | None:
    """DeepSeek's yarn names two multipliers whose quotient is meant."""
    if told.get("attention_factor") is None and told.get("mscale") and told.get("mscale_all_dim"):
        length = 0.1 * math.log(max(told["factor"], 1.0))
        return float((length * told["mscale"] + 1) / (length * told["mscale_all_dim"] + 1))
    return told.get("attention_factor")


def rope_values(shape: TransformerConfig) -> dict[str, Any]:
    """The inverse of `rope`, as transformers 5 writes it."""
    out: dict[str, Any] = {"rope_type": "default", "rope_theta": shape.rope_theta}
    if shape.rotary_dim is not None:
        out["partial_rotary_factor"] = shape.rotary_dim / shape.head_size
    if (scaling := shape.rope_scaling) is not None:
        out |= {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind != "dynamic":
            out["original_max_position_embeddings"] = scaling.original
        if scaling.kind == "llama3":
            out |= {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
        if scaling.kind == "yarn":
            out |= {"beta_fast": scaling.fast, "beta_slow": scaling.slow, "truncate": scaling.truncate}
        if scaling.kind == "longrope":
            out |= {"short_factor": list(scaling.short_factors), "long_factor": list(scaling.long_factors)}
        if scaling.attention_beta:
            out["llama_4_scaling_beta"] = scaling.attention_beta
        if scaling.attention is not None:
            out["attention_factor"] = scaling.attention
    if shape.rope_theta_windowed is None:
        return {"rope_parameters": out}
    local = {"rope_type": "default", "rope_theta": shape.rope_theta_windowed}
    return {"rope_parameters": {"full_attention": out, "sliding_attention": local}}
