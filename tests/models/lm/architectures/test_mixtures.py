"""Mixtures of experts: transformers' logits and tokens."""

import json
from pathlib import Path

import checkpoints
import pytest
import torch
from checkpoints import GROUPED, make, rope
from decoder_checks import assert_close, check
from safetensors.torch import load_file, save_file

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.lm import families, language_model
from mmgen.models.lm.lora_files import family_of

HEAD = {**GROUPED, "head_dim": 16}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 48}
MULTIPLIERS = {"embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.2, "logits_scaling": 0.5}
MAKERS: dict[str, checkpoints.Maker] = {
    "qwen3_moe": make("Qwen3MoeForCausalLM", "Qwen3MoeConfig", HEAD, EXPERTS, num_experts=6, norm_topk_prob=True),
    "qwen3_moe-dense": make(
        "Qwen3MoeForCausalLM", "Qwen3MoeConfig", HEAD, EXPERTS, num_experts=6, mlp_only_layers=[1], norm_topk_prob=False
    ),
    "granitemoe": make(
        "GraniteMoeForCausalLM", "GraniteMoeConfig", GROUPED, MULTIPLIERS, num_local_experts=5, num_experts_per_tok=2
    ),
    "granitemoeshared": make(
        "GraniteMoeSharedForCausalLM", "GraniteMoeSharedConfig", GROUPED, MULTIPLIERS,
        num_local_experts=5, num_experts_per_tok=2, shared_intermediate_size=32,
    ),
    "gpt_oss": make(
        "GptOssForCausalLM", "GptOssConfig", HEAD, num_local_experts=5, num_experts_per_tok=2, sliding_window=8,
        swiglu_limit=0.5, **rope(rope_type="yarn", factor=8.0, truncate=False, original_max_position_embeddings=32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_as_transformers(name: str, tmp_path: Path) -> None:
    check(MAKERS[name], tmp_path)


def test_mxfp4(tmp_path: Path) -> None:
    """As OpenAI's files have the experts: two numbers a byte, a scale for 32."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    theirs = checkpoints.saved(MAKERS["gpt_oss"], tmp_path)
    tensors, generator = load_file(tmp_path / "model.safetensors"), torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        count, inputs, outputs = tensors.pop(name).shape
        blocks = torch.randint(256, (count, outputs, inputs // 32, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(122, 126, (count, outputs, inputs // 32), generator=generator, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        theirs.get_parameter(name).data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).contiguous()
    save_file(tensors, tmp_path / "model.safetensors")
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "quantization_config": {"quant_method": "mxfp4"}}))
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        assert_close(theirs(input_ids=ids).logits, language_model.load(tmp_path, dtype=torch.float32)(ids))


def test_read_and_not_written(tmp_path: Path) -> None:
    checkpoints.saved(MAKERS["granitemoe"], tmp_path / "theirs")
    ours = language_model.load(tmp_path / "theirs")
    with pytest.raises(BadRequest, match="GraniteMoeForCausalLM checkpoints are read and not written"):
        language_model.save(ours, tmp_path / "ours", "granitemoe")
    assert family_of(tmp_path / "theirs") == ""
    language_model.save(ours, tmp_path / "ours")
    assert language_model.load(tmp_path / "ours").config == ours.config


def test_what_ours_has_not() -> None:
    values = MAKERS["gpt_oss"]().config.to_dict()
    with pytest.raises(BadWeights, match="the activation gelu; gpt-oss has silu"):
        families.FAMILIES["gpt_oss"].shape({**values, "hidden_act": "gelu"})
