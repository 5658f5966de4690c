"""Models made ready for inference: factors rounded where asked for, blocks in one call where there are kernels for it."""

import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.models.cpu.kernels import kernels
from mmgen.models.vision.image_model import dtype_of, prepare
from mmgen.models.vision.vit import VisionConfig, VisionTransformer

made = kernels()


@pytest.mark.skipif(made is None or not made.encodes, reason="the kernels want AVX-512 with bfloat16 and VNNI")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_all_blocks_of_rounded_factors_in_one_call(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    torch.manual_seed(0)
    config = VisionConfig(32, 8, 64, 2, 2, 128, activation="quick_gelu", embedding_norm=True)
    model = VisionTransformer(config).eval()
    prepare(model, precision)
    images, fused = torch.randn(3, 3, 32, 32), model.fused
    with torch.inference_mode():
        together = model.pooled(images)
        assert fused is not None and torch.equal(model.pooled(images[1:2])[0], together[1])
        model.fused = None
        apart = model.pooled(images)
    assert float((together - apart).norm() / apart.norm()) < 0.02


def test_fp32_runs_block_by_block() -> None:
    model = VisionTransformer(VisionConfig(32, 8, 64, 1, 2, 128)).eval()
    prepare(model, "fp32")
    assert model.fused is None


def test_bf16_rounds_factors_alone_on_a_cpu() -> None:
    assert (dtype_of("bf16", "cpu"), dtype_of("bf16", "cuda")) == (torch.float32, torch.bfloat16)
    with pytest.raises(BadRequest, match="write fp32, bf16"):
        dtype_of("fp12", "cpu")
