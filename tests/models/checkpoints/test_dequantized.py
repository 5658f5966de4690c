"""Weights that other programs rounded: the same logits as transformers with what the numbers stand for."""

from pathlib import Path
from typing import Any

import checkpoints
import pytest
import quantized_files
import torch
from quantized_files import FORMATS, rewrite
from safetensors.torch import load_file

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import quantized
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu.kernels import kernels
from mmgen.models.lm import language_model
from mmgen.models.quantization.block_layers import BlockLinear
from mmgen.models.quantization.formats.fp4 import Mxfp4Experts
from mmgen.models.quantization.formats.stored import StoredMatrix

IDS = torch.arange(2 * 24).view(2, 24) * 7 % checkpoints.VOCABULARY


@pytest.mark.parametrize("kind", list(FORMATS))
@torch.inference_mode()
def test_logits(kind: str, tmp_path: Path) -> None:
    theirs = quantized_files.write(tmp_path, kind)
    ours = language_model.load(tmp_path, dtype=torch.float32)
    for name, tensor in theirs.state_dict().items():
        if name.endswith("proj.weight"):
            checkpoint = quantized.checkpoint(tmp_path, read_json(tmp_path / "config.json"))
            torch.testing.assert_close(checkpoint[name], tensor, atol=1e-6, rtol=1e-6)
            assert checkpoint.shape(name) == tensor.shape
    expected = theirs(input_ids=IDS).logits
    assert expected.std() > 0.05
    torch.testing.assert_close(ours(IDS), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def values_of(folder: Path) -> dict[str, Any]:
    return read_json(folder / "config.json")


def test_experts_of_gpt_oss() -> None:
    """Equal to transformers' own conversion."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = (
        torch.randint(0, 256, (3, 24, 2, 16), dtype=torch.uint8),
        torch.randint(120, 132, (3, 24, 2), dtype=torch.uint8),
    )
    there = {"x_blocks": blocks, "x_scales": scales}
    stored = StoredMatrix(
        "x", {"_blocks": "x_blocks", "_scales": "x_scales"}, there.__getitem__, lambda name: tuple(there[name].shape)
    )
    form = Mxfp4Experts()
    expected = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    assert torch.equal(form.restored(stored), expected) and form.shape(stored) == expected.shape == (3, 64, 24)


def test_what_is_not_rounded_passes(tmp_path: Path) -> None:
    """And scales of a KV cache in fewer bits are left out."""
    quantized_files.write(tmp_path, "packed-4")
    tensors = load_file(tmp_path / "model.safetensors")
    rewrite(tmp_path, {**tensors, "model.layers.0.self_attn.k_scale": torch.ones(1)}, {"dtype": "bfloat16"})
    checkpoint = quantized.checkpoint(tmp_path, values_of(tmp_path))
    assert "model.layers.0.self_attn.k_scale" not in checkpoint and "lm_head.weight" in checkpoint
    assert checkpoint.dtype == torch.bfloat16 and language_model.load(tmp_path).head.weight.dtype == torch.bfloat16
    assert not any(name.endswith(("_packed", "_scale", "_shape")) for name in checkpoint)


@pytest.mark.parametrize(
    ("kind", "part"), [("gptq", "scales"), ("awq", "qzeros"), ("nf4", "quant_map"), ("float8-rows", "weight")]
)
def test_a_part_that_is_missing(tmp_path: Path, kind: str, part: str) -> None:
    quantized_files.write(tmp_path, kind)
    tensors = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in tensors if name.endswith((f"v_proj.{part}", f"v_proj.weight.{part}")))
    rewrite(tmp_path, {name: one for name, one in tensors.items() if name != gone}, {})
    with pytest.raises(BadWeights, match=rf"v_proj\.weight without its .*{part}; the file is not whole"):
        language_model.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "part"), [("gptq", "scales"), ("float8-blocks", "weight_scale_inv"), ("packed-4", "weight_scale")]
)
def test_parts_that_do_not_fit(tmp_path: Path, kind: str, part: str) -> None:
    quantized_files.write(tmp_path, kind)
    tensors = load_file(tmp_path / "model.safetensors")
    name = f"model.layers.0.mlp.up_proj.{part}"
    rewrite(tmp_path, {**tensors, name: torch.ones(5, 5)}, {})
    with pytest.raises(BadWeights, match=r"do not fit a matrix|is rounded as .* does not do"):
        language_model.load(tmp_path)


def test_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quantized_files.write(tmp_path, "awq")
    for _ in range(2):
        language_model.load(tmp_path)
    (said,) = [record.message for record in caplog.records if "restored" in record.message]
    assert said == f"{tmp_path}: weights of awq are restored in full as they are loaded"


@pytest.mark.skipif(kernels() is None, reason="there are no kernels here")
@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("gptq", {"Q4_0"}), ("gptq-asymmetric", {"Q5_0"}), ("awq", {"Q5_0"}), ("gptq-3", {"Q4_0"}), ("gptq-8", {"Q8_0"}),
        ("packed-4", {"Q4_0"}), ("mlx", {"Q4_1"}), ("gptq-act-order", {"Q5_0"}), ("int8-rows", {"Q8_0"}),
        ("bnb-int8", {"Q8_0"}), ("float8-rows", {"BF16"}), ("modelopt", {"BF16"}), ("float8-blocks", set()), ("nf4", set()),
    ],
)  # fmt: skip
@torch.inference_mode()
def test_exact_in_blocks(kind: str, types: set[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is restored in full, and nothing is said of it."""
    theirs = quantized_files.write(tmp_path, kind)
    ours = language_model.load(tmp_path, dtype=torch.float32, packed=True)
    matrices = [module.matrix for module in ours.modules() if isinstance(module, BlockLinear)]
    assert {one for matrix in matrices for one in matrix.types} == types
    assert len(matrices) == (4 * ours.config.layers if types else 0) and bool(caplog.records) is not bool(types)
    expected = theirs(input_ids=IDS).logits
    torch.testing.assert_close(ours(IDS), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
