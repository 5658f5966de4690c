"""Rounded weights in modules of transformers and diffusers."""

import json
from pathlib import Path
from shutil import copytree

import checkpoints
import pytest
import quantized_files
import torch
from quantized_files import rewrite
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained

IDS = torch.arange(24)[None] * 7 % checkpoints.VOCABULARY


@pytest.mark.parametrize("kind", ["gptq-act-order", "awq", "packed-4", "float8-blocks", "nf4", "mlx"])
@torch.inference_mode()
def test_logits_of_transformers(tmp_path: Path, kind: str) -> None:
    theirs = quantized_files.write(tmp_path, kind)
    ours = pretrained.load(AutoModelForCausalLM, tmp_path, "cpu", torch.float32)
    expected = theirs(input_ids=IDS).logits
    torch.testing.assert_close(ours(input_ids=IDS).logits, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_experts_that_transformers_joins(tmp_path: Path) -> None:
    """Written for each expert, as DeepSeek's and Qwen's files are."""
    theirs = quantized_files.write(tmp_path, "float8-blocks", "mixtral", r"w[123]\.weight$|[qkvo]_proj\.weight$")
    ours = pretrained.load(AutoModelForCausalLM, tmp_path, "cpu", torch.float32)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, atol=1e-6, rtol=1e-6)


def test_a_part_of_diffusers(stable_diffusion: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    part = copytree(stable_diffusion / "unet", tmp_path / "unet")
    store, told = quantized_files.FORMATS["nf4"]
    tensors, expected = load_file(part / "diffusion_pytorch_model.safetensors"), {}
    for name, tensor in list(tensors.items()):
        if name.endswith(("to_q.weight", "proj_in.weight")) and tensor.dim() == 2:
            expected[name], stored = store(tensors.pop(name))
            tensors |= {name.removesuffix(".weight") + end: one for end, one in stored.items()}
    rewrite(part, tensors, {"quantization_config": told}, "diffusion_pytorch_model")
    ours = pretrained.load(UNet2DConditionModel, part, "cpu", torch.float32).state_dict()
    assert expected
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor)


def test_what_is_missing_or_not_read_is_told(tmp_path: Path) -> None:
    quantized_files.write(tmp_path, "awq")
    tensors = load_file(tmp_path / "model.safetensors")
    rewrite(tmp_path, {name: one for name, one in tensors.items() if "layers.1.self_attn.q_proj" not in name}, {})
    with pytest.raises(BadWeights, match=r"lacks model\.layers\.1\.self_attn\.q_proj\.weight"):
        pretrained.load(AutoModelForCausalLM, tmp_path, "cpu", torch.float32)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": {"quant_method": "hqq"}}))
    with pytest.raises(BadWeights, match="quant_method hqq, which is not read"):
        pretrained.load(AutoModelForCausalLM, tmp_path, "cpu", torch.float32)
