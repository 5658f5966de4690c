"""Which road a config.json is sent by, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import BadWeights
from mmgen.models.transformers_backend.backend import backend_of, unpaged, upstream_config, writes_text

LLAMA = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
NATIVE = {**LLAMA, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model_type": "llama", **NATIVE}, "native"),
        ({"model_type": "mmgen", "transformer": {}}, "native"),
        ({"model_type": "t5"}, "native"),
        ({"model_type": "llama", **NATIVE, "hidden_act": "tanh"}, "paged"),  # our layers lack it, the library's do not
        ({"model_type": "persimmon", **LLAMA}, "paged"),
        ({"model_type": "biogpt", **LLAMA}, "paged"),
        ({"model_type": "persimmon", **LLAMA, "layer_types": ["full_attention", "linear_attention"]}, "own-cache"),
        ({"model_type": "persimmon", **LLAMA, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "own-cache"),
        ({"model_type": "mamba2"}, "own-cache"),
        ({"model_type": "rwkv"}, "own-cache"),
        ({"model_type": "bloom", "alibi": True}, "native"),
        ({"model_type": "mpt"}, "own-cache"),
        ({"model_type": "bart"}, "own-cache"),
        ({"model_type": "led"}, "own-cache"),
    ],
    ids=lambda one: one if isinstance(one, str) else one["model_type"],
)
def test_roads(values: dict[str, Any], expected: str, tmp_path: Path) -> None:
    values = {**values, "n_head": 4, "hidden_size": 32, "n_layer": 2, "vocab_size": 96} if expected == "native" else values
    assert backend_of(values) == expected
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert backend_of(tmp_path) == expected


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model_type": "mamba2"}, "linear_attention"),
        ({"model_type": "mpt"}, "cannot be chosen"),
        ({"model_type": "bart"}, "encoder"),
        ({"model_type": "persimmon", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "longest text"),
        ({"model_type": "persimmon"}, ""),
    ],
)
def test_the_reason_is_told(values: dict[str, Any], told: str) -> None:
    why = unpaged(upstream_config(values, "config.json"))
    assert told in why and bool(told) == bool(why)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model_type": "llamarama"}, "architecture llamarama; neither mmgen nor transformers"),
        ({"model_type": "other", "auto_map": {"AutoModelForCausalLM": "modeling_other.Other"}}, "never run"),
        ({}, "architecture None"),
        ({"model_type": "vit"}, "writes no text"),
        ({"model_type": "persimmon", "hidden_size": "wide"}, "transformers refuses config.json"),
    ],
)
def test_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(BadWeights, match=told):
        backend_of(values)


@pytest.mark.parametrize(
    ("kind", "alone"),
    [("gemma3", True), ("gemma4", True), ("qwen3_5", True), ("qwen2_vl", False), ("llava", False), ("nobody", False)],
)
def test_models_that_see_and_are_run_without_their_eyes(kind: str, alone: bool) -> None:
    assert writes_text({"model_type": kind}, Path("config.json")) is alone
