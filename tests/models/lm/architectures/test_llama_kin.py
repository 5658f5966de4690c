"""Llama's kin: transformers' logits and tokens."""

from pathlib import Path

import checkpoints
import pytest
from checkpoints import GROUPED, make, rope
from decoder_checks import check

HEAD = {**GROUPED, "head_dim": 16}
MULTIPLIERS = {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2, "logits_scaling": 0.5}
MAKERS: dict[str, tuple[checkpoints.Maker, bool]] = {
    "smollm3": (make("SmolLM3ForCausalLM", "SmolLM3Config", {**GROUPED, "num_hidden_layers": 4}), True),
    "smollm3-window": (
        make(
            "SmolLM3ForCausalLM", "SmolLM3Config", GROUPED, no_rope_layers=[1, 0], use_sliding_window=True, sliding_window=8
        ),
        True,
    ),
    "arcee": (make("ArceeForCausalLM", "ArceeConfig", GROUPED, mlp_bias=True), False),
    "seed_oss": (make("SeedOssForCausalLM", "SeedOssConfig", HEAD, attention_out_bias=False), True),
    "granite": (make("GraniteForCausalLM", "GraniteConfig", GROUPED, **MULTIPLIERS), False),
    "ministral3": (
        make(
            "Ministral3ForCausalLM", "Ministral3Config", HEAD,
            **rope(
                rope_type="yarn", factor=4.0, original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=1.0,
                llama_4_scaling_beta=0.4,
            ),
        ),
        True,
    ),
    "ernie4_5": (make("Ernie4_5ForCausalLM", "Ernie4_5Config", HEAD, use_bias=True), False),
    "hunyuan_v1_dense": (make("HunYuanDenseV1ForCausalLM", "HunYuanDenseV1Config", HEAD), False),
    "hunyuan-alpha": (
        make(
            "HunYuanDenseV1ForCausalLM", "HunYuanDenseV1Config", HEAD,
            **rope(rope_type="dynamic", alpha=1000.0, factor=1.0),
        ),
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_as_transformers(name: str, tmp_path: Path) -> None:
    maker, fused = MAKERS[name]
    check(maker, tmp_path, fused)
